"""The sample's rows: what the shops sell, and the printed matter, each with the function that draws it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from PIL import Image

from data.brush import checks, dots, heart, leaves, mountain, stripes
from data.paper import card, label, poster, sign
from data.products import bag, chair, lamp, mug, notebook, pot, shirt

Draw = Callable[[], Image.Image]
SHOPS = {
    "Harbour Goods": ("harbour-goods.example.com", "USD"),
    "Nordlicht": ("www.nordlicht.example.org", "EUR"),
    "Fabrikam Home": ("home.fabrikam.example.net", "USD"),
    "Poster Cabinet": ("posters.example.com", "USD"),
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of catalogue.csv."""

    id: str
    image: str
    title: str
    description: str = ""
    category: str = ""
    tags: str = ""
    price: str = ""
    currency: str = ""
    seller: str = ""
    availability: str = ""
    rating: str = ""
    reviews: str = ""
    page_url: str = ""
    crop: str = ""
    published: str = ""


@dataclass(frozen=True, kw_only=True)
class Thing:
    """A picture to draw and the row that shows it; `side` is its longer side in px."""

    line: Line
    draw: Draw
    side: int = 480


def product(family: str, key: str, title: str, tags: str, words: str, price: float, seller: str, draw: Draw) -> Thing:
    """Describe a product that a shop sells; stock, stars and dates vary with the id alone."""
    name, chance = f"{family}-{key}", random.Random(f"{family}-{key}")
    host, currency = SHOPS[seller]
    line = Line(
        id=name,
        image=f"images/{name}.jpg",
        title=title,
        description=words,
        category=family,
        tags=tags,
        price=f"{price:.2f}",
        currency=currency,
        seller=seller,
        availability=chance.choice(["InStock", "InStock", "InStock", "LimitedAvailability", "OutOfStock"]),
        rating=f"{chance.randrange(34, 51) / 10:.1f}",
        reviews=str(chance.randrange(3, 420)),
        page_url=f"https://{host}/{family}/{name}.html",
        published=f"2025-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}",
    )
    return Thing(line=line, draw=draw)


def mugs() -> Iterator[Thing]:
    """List nine mugs of one form."""
    for key, title, color, ink, motif in (
        ("teal", "Teal stoneware mug", "#0f766e", "#ffffff", None),
        ("brick", "Brick red stoneware mug", "#a63d2f", "#ffffff", None),
        ("navy", "Navy stoneware mug", "#1f3a5f", "#ffffff", None),
        ("cream", "Cream stoneware mug", "#f0e6d2", "#8a6d3b", None),
        ("teal-striped", "Teal striped mug", "#0f766e", "#e6fffa", stripes),
        ("navy-dotted", "Navy dotted mug", "#1f3a5f", "#f5f3ea", dots),
        ("heart", "White mug with a red heart", "#f7f7f5", "#d62839", heart),
        ("mountain", "White mug with mountains", "#f7f7f5", "#33658a", mountain),
        ("leaves", "White mug with leaves", "#f7f7f5", "#3a7d44", leaves),
    ):
        drawn = partial(mug, color, ink, motif) if motif else partial(mug, color, ink)
        words = f"{title}, 350 ml, dishwasher safe, made to be used every morning."
        yield product("mug", key, title, f"mug;kitchen;{key.split('-')[0]}", words, 14.5, "Harbour Goods", drawn)


def bags() -> Iterator[Thing]:
    """List six tote bags."""
    for key, title, color, ink, motif in (
        ("sand", "Sand canvas tote bag", "#cbb08a", "#ffffff", None),
        ("forest", "Forest green tote bag", "#2d5a3d", "#ffffff", None),
        ("plum", "Plum tote bag", "#6d2e5b", "#ffffff", None),
        ("checked", "Checked tote bag", "#e9e2d0", "#32527b", checks),
        ("leaves", "Tote bag with leaves", "#efe8d8", "#4f772d", leaves),
        ("mountain", "Tote bag with mountains", "#efe8d8", "#3d5a80", mountain),
    ):
        drawn = partial(bag, color, ink, motif) if motif else partial(bag, color, ink)
        words = f"{title} of heavy cotton with long handles; holds a week's shopping."
        yield product("bag", key, title, f"bag;tote;{key}", words, 24.0, "Nordlicht", drawn)


def shirts() -> Iterator[Thing]:
    """List seven T-shirts."""
    for key, title, color, ink, motif in (
        ("black", "Black T-shirt", "#22252a", "#ffffff", None),
        ("white", "White T-shirt", "#e9e9e6", "#c9c9c4", None),
        ("red", "Red T-shirt", "#b3282d", "#ffffff", None),
        ("mustard", "Mustard T-shirt", "#d3a12b", "#ffffff", None),
        ("heart", "Black T-shirt with a heart", "#22252a", "#e63946", heart),
        ("mountain", "Grey T-shirt with mountains", "#9aa5b1", "#24425c", mountain),
        ("striped", "Breton striped T-shirt", "#eeece4", "#24365c", stripes),
    ):
        drawn = partial(shirt, color, ink, motif) if motif else partial(shirt, color, ink)
        words = f"{title}, organic cotton, regular fit, sizes XS to XXL."
        yield product("shirt", key, title, f"shirt;clothing;{key}", words, 29.9, "Fabrikam Home", drawn)


def lamps() -> Iterator[Thing]:
    """List six table lamps, two of them tall."""
    for key, title, shade, foot, tall in (
        ("linen-brass", "Linen table lamp with brass foot", "#e7d8b8", "#b08d3c", False),
        ("green-brass", "Green table lamp with brass foot", "#3f7d58", "#b08d3c", False),
        ("rose-black", "Rose table lamp with black foot", "#d69aa0", "#2a2a2e", False),
        ("blue-black", "Blue table lamp with black foot", "#4a6fa5", "#2a2a2e", False),
        ("tall-linen", "Tall linen lamp", "#e7d8b8", "#3a3a3f", True),
        ("tall-amber", "Tall amber lamp", "#d98e32", "#3a3a3f", True),
    ):
        words = f"{title} for warm evening light; takes an E27 bulb up to 40 W."
        drawn = partial(lamp, shade, foot, tall=tall)
        yield product("lamp", key, title, f"lamp;lighting;{key.split('-')[0]}", words, 79.0, "Nordlicht", drawn)


def furniture() -> Iterator[Thing]:
    """List five chairs, four plants and four notebooks."""
    for key, title, seat, wood in (
        ("oak-grey", "Oak chair with grey seat", "#7d858c", "#c19a6b"),
        ("oak-rust", "Oak chair with rust seat", "#b5532f", "#c19a6b"),
        ("walnut-green", "Walnut chair with green seat", "#557a5a", "#6b4a32"),
        ("black-cream", "Black chair with cream seat", "#e9dfc7", "#2b2b2b"),
        ("white-blue", "White chair with blue seat", "#3f6ea8", "#e8e6e1"),
    ):
        words = f"{title}; solid wood, upholstered by hand."
        yield product(
            "chair",
            key,
            title,
            f"chair;furniture;{key.split('-')[1]}",
            words,
            189.0,
            "Fabrikam Home",
            partial(chair, seat, wood),
        )
    for key, title, color, leaf, motif in (
        ("terracotta", "Plant in a terracotta pot", "#b9643a", "#4d8b4a", None),
        ("white", "Plant in a white pot", "#ecebe6", "#4d8b4a", None),
        ("blue-dotted", "Plant in a dotted blue pot", "#35608f", "#6fa05a", dots),
        ("black", "Dark plant in a black pot", "#2c2c30", "#2f5d43", None),
    ):
        words = f"{title}; easy to look after, likes light."
        drawn = partial(pot, color, leaf, motif=motif) if motif else partial(pot, color, leaf)
        yield product("plant", key, title, f"plant;pot;{key.split('-')[0]}", words, 34.0, "Harbour Goods", drawn)
    for key, title, color, band, motif in (
        ("ink", "Ink blue notebook", "#27365e", "#e5b94e", None),
        ("sage", "Sage notebook", "#8ea48b", "#3a4a3c", None),
        ("coral", "Coral notebook", "#e0735c", "#5a2a27", None),
        ("checked", "Checked notebook", "#efe7d8", "#7a3b4c", checks),
    ):
        words = f"{title}, A5, 160 pages of dotted paper."
        drawn = partial(notebook, color, band, motif=motif) if motif else partial(notebook, color, band)
        yield product("notebook", key, title, f"notebook;stationery;{key}", words, 11.9, "Harbour Goods", drawn)


def posters() -> Iterator[Thing]:
    """List five travel posters."""
    for key, title, sky, land in (
        ("fjord", "Fjord", "#8fb8de", "#1d4e5f"),
        ("desert", "Desert", "#f2b880", "#a4442a"),
        ("highland", "Highland", "#b9c9d6", "#40634a"),
        ("lagoon", "Lagoon", "#9ad7d0", "#12657a"),
        ("vineyard", "Vineyard", "#f4d9a8", "#5b3a5e"),
    ):
        words = f"Travel poster {title}, 50 x 70 cm, printed on matt paper."
        drawn = partial(poster, sky, land, title, len(key))
        thing = product(
            "poster", key, f"{title} travel poster", f"poster;wall art;{key}", words, 32.0, "Poster Cabinet", drawn
        )
        yield replace(thing, side=640)


def printed() -> Iterator[Thing]:
    """Print business cards, signs and labels: text to be read, nothing to be bought."""
    drawn: tuple[tuple[str, str, str, Draw], ...] = (
        ("card-whitney", "Business card of Charlene Whitney", "business card", partial(
            card, "Charlene Whitney", "Graphic Designer",
            ("888 555 1212", "someone@example.com", "www.example.com", "12 Harbour Street, Portland"),
            "#fdfdfb", "#20262e", "#0f766e")),
        ("card-okafor", "Business card of Ifeanyi Okafor", "business card", partial(
            card, "Ifeanyi Okafor", "Structural Engineer",
            ("+44 20 7946 0018", "ifeanyi@example.org", "https://okafor.example.org"),
            "#22303c", "#f4f1ea", "#e9b44c")),
        ("card-lindqvist", "Business card of Maja Lindqvist", "business card", partial(
            card, "Maja Lindqvist", "Baker and Owner",
            ("Tel. 08-123 456 78", "maja@bakery.example.net", "bakery.example.net", "Open 7 am to 4 pm"),
            "#fbf1e3", "#4a2c2a", "#c8553d")),
        ("sign-bridge", "Sign at a bridge", "sign", partial(
            sign, ("WALK BIKE", "ACROSS BRIDGE"), "#f6c945", "#1d1d1b", "#cfe3f1")),
        ("sign-parking", "Sign of a car park", "sign", partial(
            sign, ("PARKING", "2 HOURS MAX", "MON - SAT"), "#1d4f91", "#ffffff", "#d9e4ea")),
        ("sign-trail", "Sign at a trail", "sign", partial(
            sign, ("LAKE TRAIL", "3.5 km"), "#5b3a21", "#f4e9d5", "#dfeadb")),
        ("label-honey", "Jar of forest honey", "label", partial(
            label, "FOREST HONEY", ("Net weight 250 g", "Best before 11/2027", "Lot 4471-B"), "#fff6dc", "#8a4b08")),
        ("label-jam", "Jar of plum jam", "label", partial(
            label, "PLUM JAM", ("Net weight 340 g", "55 % fruit", "www.jam.example.com"), "#fdf3f6", "#5e1f3f")),
    )  # fmt: skip
    for name, title, category, draw in drawn:
        page = f"https://print.example.com/{name}"
        tags = f"{category};printed matter"
        line = Line(id=name, image=f"images/{name}.png", title=title, category=category, tags=tags, page_url=page)
        yield Thing(line=line, draw=draw, side=800)


def everything() -> Iterator[Thing]:
    """List all that is drawn, in the catalogue's order."""
    for family in (mugs, bags, shirts, lamps, furniture, posters, printed):
        yield from family()
