"""Draws the sample catalogue, data/catalogue.csv and data/images: `python -m data.make_sample [FOLDER]`.

Everything is drawn by this script from fixed numbers, so it always makes the same catalogue.
"""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path

from PIL import Image, ImageChops

from data.brush import leaves
from data.paper import banner
from data.products import mug
from data.shop import SHOPS, Line, everything


def again(lines: dict[str, Line]) -> Iterator[Line]:
    """Show the same pictures once more: on other pages, re-encoded, cut, turned, in formats that need care."""
    for shop, price in (("Nordlicht", "15.90"), ("Fabrikam Home", "12.75")):
        host, currency = SHOPS[shop]
        page, name = f"https://{host}/tableware/teal-mug", f"mug-teal-at-{shop.split()[0].lower()}"
        yield replace(lines["mug-teal"], id=name, seller=shop, price=price, currency=currency, page_url=page)
    unsold = dict.fromkeys(("price", "currency", "seller", "availability", "rating", "reviews"), "")
    for source, name, suffix, page in (
        ("poster-fjord", "poster-fjord-small", "jpg", "https://blog.example.com/2025/fjord-posters"),
        ("poster-desert", "poster-desert-cut", "jpg", "https://blog.example.com/2025/desert"),
        ("bag-checked", "bag-checked-mirrored", "webp", "https://outlet.example.net/bags/checked"),
        ("chair-oak-rust", "chair-oak-rust-phone", "jpg", "https://market.example.org/used/chair-4711"),
        ("mug-heart", "mug-heart-clear", "png", "https://press.example.com/mug-heart"),
        ("bag-plum", "bag-plum-animated", "gif", "https://archive.example.org/bag-plum"),
        ("poster-lagoon", "poster-lagoon-cmyk", "jpg", "https://print.example.com/proofs/lagoon"),
        ("card-okafor", "card-okafor-upended", "jpg", "https://print.example.com/scans/okafor"),
        ("sign-bridge", "sign-bridge-tilted", "jpg", "https://blog.example.com/2025/walk-your-bike"),
    ):
        yield replace(lines[source], id=name, image=f"images/{name}.{suffix}", page_url=page, **unsold)
    yield replace(lines["card-whitney"], id="card-whitney-contact", crop="0.05,0.45,0.65,0.98")


def oddities() -> Iterator[Line]:
    """List a banner over 6,000 px, a PNG over 1 MB, and the one file that is cut off."""
    yield Line(
        id="banner-autumn",
        image="images/banner-autumn.jpg",
        title="Autumn shop banner",
        category="banner",
        tags="banner;printed matter",
        page_url="https://harbour-goods.example.com/autumn",
    )
    yield Line(
        id="tile-terrazzo",
        image="images/tile-terrazzo.png",
        title="Terrazzo tile",
        category="tile",
        tags="tile;flooring",
        price="4.20",
        currency="EUR",
        seller="Nordlicht",
        availability="InStock",
        page_url="https://www.nordlicht.example.org/tile/tile-terrazzo.html",
        published="2025-03-03",
    )
    yield Line(
        id="mug-broken",
        image="images/mug-broken.jpg",
        title="A mug whose file is cut off",
        category="mug",
        page_url="https://harbour-goods.example.com/mug/broken.html",
    )


def fitted(picture: Image.Image, side: int) -> Image.Image:
    """Scale a picture down to its longer side."""
    scale = side / max(picture.size)
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)


def write_copies(images: Path, drawn: dict[str, Image.Image]) -> None:
    """Write the pictures that show again what another row shows."""
    fitted(drawn["poster-fjord"], 400).save(images / "poster-fjord-small.jpg", quality=62)
    desert = drawn["poster-desert"]
    desert.crop((40, 50, desert.width - 30, desert.height - 40)).save(images / "poster-desert-cut.jpg", quality=84)
    mirrored = drawn["bag-checked"].transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mirrored.save(images / "bag-checked-mirrored.webp", quality=80)
    turned = Image.Exif()
    turned[0x0112] = 6
    drawn["chair-oak-rust"].rotate(90, expand=True).save(images / "chair-oak-rust-phone.jpg", quality=84, exif=turned)
    heart_mug = drawn["mug-heart"].convert("RGBA")
    heart_mug.putalpha(_silhouette(heart_mug.width))
    heart_mug.save(images / "mug-heart-clear.png", optimize=True)
    stills = [drawn[name].quantize(64) for name in ("bag-plum", "bag-forest")]
    stills[0].save(images / "bag-plum-animated.gif", save_all=True, append_images=stills[1:], duration=800)
    drawn["card-okafor"].rotate(90, expand=True).save(images / "card-okafor-upended.jpg", quality=84)
    tilted = drawn["sign-bridge"].rotate(-8, Image.Resampling.BICUBIC, fillcolor="#c9d3d9")
    tilted.save(images / "sign-bridge-tilted.jpg", quality=84)
    drawn["poster-lagoon"].convert("CMYK").save(images / "poster-lagoon-cmyk.jpg", quality=80)


def _silhouette(side: int) -> Image.Image:
    """Return where the mug stands, as an alpha mask."""
    outline = ImageChops.difference(mug("#000000"), mug("#ffffff")).convert("L").point(lambda value: 255 * (value > 12))
    return outline.resize((side, side), Image.Resampling.LANCZOS)


def write_oddities(images: Path, drawn: dict[str, Image.Image]) -> None:
    """Write a banner over 6,000 px, a PNG over 1 MB, and the one file that is cut off."""
    banner(6240, 900, "AUTUMN AT HARBOUR GOODS").save(images / "banner-autumn.jpg", quality=72)
    chance = random.Random(11)
    grain = Image.frombytes("RGB", (630, 630), chance.randbytes(630 * 630 * 3))
    Image.blend(leaves((630, 630), "#d8d2c8", "#7b8a8b"), grain, 0.28).save(images / "tile-terrazzo.png")
    path = images / "mug-broken.jpg"
    drawn["mug-brick"].save(path, quality=84)
    path.write_bytes(path.read_bytes()[:6000])


def main(folder: Path) -> None:
    """Draw everything and write the catalogue."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    things = list(everything())
    drawn = {thing.line.id: fitted(thing.draw(), thing.side) for thing in things}
    for thing in things:
        picture = drawn[thing.line.id]
        flat = picture.quantize(64) if thing.line.image.endswith(".png") else picture
        flat.save(folder / thing.line.image, quality=84, optimize=True)
    write_copies(images, drawn)
    write_oddities(images, drawn)
    lines = {thing.line.id: thing.line for thing in things}
    with (folder / "catalogue.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Line)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(line) for line in [*lines.values(), *again(lines), *oddities()])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
