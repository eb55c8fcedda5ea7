"""What the engine finds for pictures of the sample catalogue, and for pictures it does not have."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image, ImageOps

from pipeline.service.engine.engine import BEHIND_BEST
from pipeline.service.engine.search import ALIKE_FROM
from pipeline.service.findings import BadPicture, Engine, Findings, Item
from tests.service.engine.conftest import SAMPLE
from tests.service.engine.drawing import draw, encode


def read(item: Item) -> bytes:
    return (SAMPLE.parent / item.image).read_bytes()


def opened(item: Item) -> Image.Image:
    return Image.open(io.BytesIO(read(item))).convert("RGB")


def ids(found: Findings) -> set[str]:
    return {match.item.id for match in found.same}


def test_the_same_bytes_are_found_on_all_their_pages(sample: Engine, rows: dict[str, Item]) -> None:
    """A picture that stands under three ids is the same as all three, and nothing else is."""
    found = sample.look(read(rows["mug-teal"]))
    assert ids(found) == {"mug-teal", "mug-teal-at-nordlicht", "mug-teal-at-fabrikam"}
    assert found.token == rows["mug-teal"].token
    assert [match.score for match in found.same] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("original", "copy"),
    [
        pytest.param("poster-fjord", "poster-fjord-small", id="smaller and worse"),
        pytest.param("poster-desert", "poster-desert-cut", id="cut"),
        pytest.param("bag-checked", "bag-checked-mirrored", id="mirrored"),
        pytest.param("chair-oak-rust", "chair-oak-rust-phone", id="turned by EXIF"),
        pytest.param("poster-lagoon", "poster-lagoon-cmyk", id="CMYK"),
        pytest.param("bag-plum", "bag-plum-animated", id="first frame of a GIF"),
    ],
)
def test_a_copy_is_found_from_either_side(sample: Engine, rows: dict[str, Item], original: str, copy: str) -> None:
    """A re-encoded, cut, mirrored or turned copy and its original each find the other, and no near-twin."""
    for query in (original, copy):
        assert ids(sample.look(read(rows[query]))) == {original, copy}


def test_a_mirrored_query_says_so(sample: Engine, rows: dict[str, Item]) -> None:
    """The mirror image of a sign is the same picture, marked as mirrored."""
    found = sample.look(encode(ImageOps.mirror(opened(rows["sign-parking"])), quality=90))
    assert [(match.item.id, match.mirrored) for match in found.same] == [("sign-parking", True)]


def test_a_framed_query_is_seen_through(sample: Engine, rows: dict[str, Item]) -> None:
    """A frame does not hide a picture, and the tags' box is the part inside it."""
    framed = ImageOps.expand(opened(rows["label-jam"]), 70, "black")
    found = sample.look(encode(framed, quality=90))
    assert ids(found) == {"label-jam"}
    left, top, right, bottom = found.tags[0].box
    assert left == pytest.approx(70 / framed.width, abs=0.03)
    assert bottom == pytest.approx(1 - 70 / framed.height, abs=0.03)
    assert 0 < top < bottom < 1
    assert left < right < 1


def test_near_twins_are_alike_not_the_same(sample: Engine, rows: dict[str, Item]) -> None:
    """Mugs of other colours are look-alikes, ranked, and none of them twice."""
    found = sample.look(read(rows["mug-brick"]))
    assert ids(found) == {"mug-brick"}
    assert {match.item.category for match in found.alike[:5]} == {"mug"}
    scores = [match.score for match in found.alike]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert len({match.item.number for match in found.alike}) == len(found.alike)


def test_offers_never_mix_currencies(sample: Engine, rows: dict[str, Item]) -> None:
    """Two offers in dollars and one in euros are two groups, each from its own lowest price on."""
    groups = sample.look(read(rows["mug-teal"])).offers
    assert [(group.currency, group.low_price, len(group.items)) for group in groups] == [
        ("USD", 12.75, 2),
        ("EUR", 15.9, 1),
    ]


def test_what_the_pages_say_of_the_same_picture(sample: Engine, rows: dict[str, Item]) -> None:
    """Query, caption and tags come from the rows of the same picture, the caption with its page."""
    item = rows["lamp-tall-amber"]
    found = sample.look(encode(opened(item), quality=70))
    assert found.best_query == item.title
    assert found.caption is not None
    assert (found.caption.text, found.caption.source_url) == (item.description, item.page_url)
    assert {tag.name for tag in found.tags} == {"lamp", "lighting", "tall"}
    assert all(0 < tag.confidence <= 1 for tag in found.tags)


def test_an_unknown_picture_gets_no_words(sample: Engine) -> None:
    """A picture like nothing in the catalogue has colours and size, and no invented word."""
    found = sample.look(encode(draw(5, (400, 300))))
    assert (found.width, found.height, found.format) == (400, 300, "jpeg")
    assert len(found.accent_color) == 6
    assert (found.same, found.offers, found.tags, found.suggestions) == ((), (), (), ())
    assert (found.best_query, found.caption, found.token) == (None, None, None)


def test_what_cannot_be_known_is_named(sample: Engine, rows: dict[str, Item]) -> None:
    """Every insight that the engine never has is named once, with a reason."""
    kinds = [kind for kind, reason in sample.look(read(rows["bag-sand"])).unavailable if reason]
    assert len(kinds) == len(set(kinds))
    assert {"entities", "text", "related_searches", "recipes"} <= set(kinds)


def test_a_crop_is_searched_instead_of_the_whole(sample: Engine, rows: dict[str, Item]) -> None:
    """Of two pictures side by side, the crop area says which one is meant; the facts stay those of the whole."""
    pair = Image.new("RGB", (960, 480))
    pair.paste(opened(rows["mug-heart"]), (0, 0))
    pair.paste(opened(rows["bag-forest"]), (480, 0))
    query = encode(pair, quality=92)
    assert ids(sample.look(query, crop=(0, 0, 0.5, 1))) == {"mug-heart"}
    right = sample.look(query, crop=(0.5, 0, 1, 1))
    assert ids(right) == {"bag-forest"}
    assert (right.width, right.height, right.token) == (960, 480, None)


@pytest.mark.parametrize(
    "site",
    ["posters.example.com", "POSTERS.example.com", "https://posters.example.com/shop", "www.posters.example.com"],
)
def test_a_site_filters_look_alikes_and_products_only(sample: Engine, rows: dict[str, Item], site: str) -> None:
    """The site filter keeps look-alikes and products of one host; the pages of the same picture stay."""
    found = sample.look(read(rows["poster-fjord"]), site=site)
    assert found.alike
    assert {match.item.site for match in found.alike} == {"posters.example.com"}
    assert found.products == found.alike
    assert "poster-fjord-small" in ids(found)


def test_a_parent_site_holds_the_hosts_below_it(sample: Engine, rows: dict[str, Item]) -> None:
    """example.com stands for its subdomains, and not for other hosts that end alike."""
    found = sample.look(read(rows["mug-teal"]), site="example.com")
    assert {match.item.site for match in found.alike} == {"harbour-goods.example.com", "press.example.com"}


def test_far_look_alikes_are_left_out(sample: Engine, rows: dict[str, Item]) -> None:
    """A mug's look-alikes are a handful, mugs above all, and not half of the shop; none is far behind the best."""
    alike = sample.look(read(rows["mug-teal"])).alike
    assert 5 < len(alike) < 12
    assert {match.item.category for match in alike} == {"mug"}
    assert alike[-1].score >= max(ALIKE_FROM, alike[0].score - BEHIND_BEST)


def test_a_few_look_alikes_are_shown_however_near_the_best_is(sample: Engine, rows: dict[str, Item]) -> None:
    """One near twin does not hide the next ones, which are look-alikes too."""
    alike = sample.look(read(rows["poster-fjord"])).alike
    assert alike[-1].score < alike[0].score - BEHIND_BEST
    assert {match.item.category for match in alike} == {"poster"}


def test_a_token_stands_for_its_picture(sample: Engine, rows: dict[str, Item]) -> None:
    """Looking a token up finds what the picture itself finds; an unknown token finds nothing."""
    token = rows["mug-teal-at-nordlicht"].token
    assert token is not None
    assert sample.look_up(token) == sample.look(read(rows["mug-teal"]))
    assert sample.picture(token) == (SAMPLE.parent / "images" / "mug-teal.jpg").resolve()
    assert sample.look_up("own_nothing") is None
    assert sample.picture("own_nothing") is None


def test_tokens_are_opaque_and_distinct(rows: dict[str, Item]) -> None:
    """Each row with pixels has its own token, which tells neither id nor path."""
    tokens = [item.token for item in rows.values() if item.token]
    assert len(tokens) == len(set(tokens)) == len(rows) - 1
    assert all("mug" not in token and len(token) > 20 for token in tokens)


def test_a_row_is_found_by_its_urls(sample: Engine, rows: dict[str, Item]) -> None:
    """A page URL and an image column name a row; unknown URLs name none."""
    bag = rows["bag-sand"]
    assert bag.page_url is not None
    assert sample.find_url(bag.page_url) == bag
    assert sample.find_url(bag.image) == bag
    assert sample.find_url("https://example.com/unknown") is None


def test_the_broken_file_is_skipped_and_stays_findable(sample: Engine, rows: dict[str, Item]) -> None:
    """A row whose file is cut off has no picture's facts, is counted, and is found by its page."""
    broken = rows["mug-broken"]
    assert sample.skipped == 1
    assert (broken.width, broken.sha256, broken.token) == (None, None, None)
    assert broken.page_url is not None
    assert sample.find_url(broken.page_url) == broken


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"", "unknown-format", id="empty"),
        pytest.param(b"<html>no picture</html>", "unknown-format", id="text"),
        pytest.param(encode(draw(1))[:900], "damaged", id="cut off"),
    ],
)
def test_no_picture_is_refused(sample: Engine, data: bytes, code: str) -> None:
    """Bytes that are no picture raise BadPicture with the reason's code."""
    with pytest.raises(BadPicture) as refused:
        sample.look(data)
    assert refused.value.code == code


def test_threads_share_an_engine(sample: Engine, rows: dict[str, Item]) -> None:
    """Four threads that look at once get what one gets alone."""
    queries = [read(rows[name]) for name in ("mug-navy", "bag-plum", "chair-oak-grey", "poster-vineyard")] * 3
    alone = [sample.look(query) for query in queries[:4]]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(sample.look, queries)) == alone * 3
