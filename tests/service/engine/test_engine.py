"""The engine's findings about pictures of the sample catalogue, and about pictures that it does not have."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image, ImageOps

from pipeline.service.engine.engine import MAX_BEHIND_BEST
from pipeline.service.engine.similarity_search import MIN_SIMILAR_COSINE
from pipeline.service.findings import BadPicture, Engine, Findings, Item
from tests.service.engine.conftest import SAMPLE
from tests.service.engine.drawing import draw, encode


def read(item: Item) -> bytes:
    return (SAMPLE.parent / item.image).read_bytes()


def opened(item: Item) -> Image.Image:
    return Image.open(io.BytesIO(read(item))).convert("RGB")


def ids(findings: Findings) -> set[str]:
    return {match.item.id for match in findings.same}


def test_the_same_bytes_are_found_on_all_their_pages(sample: Engine, rows: dict[str, Item]) -> None:
    """A picture with three ids is the same as all three rows, and no other row is."""
    findings = sample.inspect(read(rows["mug-teal"]))
    assert ids(findings) == {"mug-teal", "mug-teal-at-nordlicht", "mug-teal-at-fabrikam"}
    assert findings.token == rows["mug-teal"].token
    assert [match.score for match in findings.same] == [1.0, 1.0, 1.0]


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
        assert ids(sample.inspect(read(rows[query]))) == {original, copy}


def test_a_mirrored_query_says_so(sample: Engine, rows: dict[str, Item]) -> None:
    """The mirror image of a sign is the same picture, marked as mirrored."""
    findings = sample.inspect(encode(ImageOps.mirror(opened(rows["sign-parking"])), quality=90))
    assert [(match.item.id, match.mirrored) for match in findings.same] == [("sign-parking", True)]


def test_the_frame_of_a_query_is_ignored(sample: Engine, rows: dict[str, Item]) -> None:
    """A picture in a frame is found, and the box of the tags is the part inside the frame."""
    framed = ImageOps.expand(opened(rows["label-jam"]), 70, "black")
    findings = sample.inspect(encode(framed, quality=90))
    assert ids(findings) == {"label-jam"}
    left, top, right, bottom = findings.tags[0].box
    assert left == pytest.approx(70 / framed.width, abs=0.03)
    assert bottom == pytest.approx(1 - 70 / framed.height, abs=0.03)
    assert 0 < top < bottom < 1
    assert left < right < 1


def test_near_twins_are_similar_but_not_the_same(sample: Engine, rows: dict[str, Item]) -> None:
    """Mugs of other colours are similar pictures, ranked, and none of them twice."""
    findings = sample.inspect(read(rows["mug-brick"]))
    assert ids(findings) == {"mug-brick"}
    assert {match.item.category for match in findings.similar[:5]} == {"mug"}
    scores = [match.score for match in findings.similar]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert len({match.item.number for match in findings.similar}) == len(findings.similar)


def test_offers_never_mix_currencies(sample: Engine, rows: dict[str, Item]) -> None:
    """Two offers in dollars and one in euros are two groups, each with its own lowest price."""
    groups = sample.inspect(read(rows["mug-teal"])).offers
    assert [(group.currency, group.low_price, len(group.items)) for group in groups] == [
        ("USD", 12.75, 2),
        ("EUR", 15.9, 1),
    ]


def test_the_pages_of_the_same_picture_give_its_texts(sample: Engine, rows: dict[str, Item]) -> None:
    """Query, caption and tags come from the rows with the same picture, the caption with its page."""
    item = rows["lamp-tall-amber"]
    findings = sample.inspect(encode(opened(item), quality=70))
    assert findings.best_query == item.title
    assert findings.caption is not None
    assert (findings.caption.text, findings.caption.source_url) == (item.description, item.page_url)
    assert {tag.name for tag in findings.tags} == {"lamp", "lighting", "tall"}
    assert all(0 < tag.confidence <= 1 for tag in findings.tags)


def test_an_unknown_picture_gets_no_text(sample: Engine) -> None:
    """A picture that nothing in the catalogue resembles has colours and size, and no tag, query or caption."""
    findings = sample.inspect(encode(draw(5, (400, 300))))
    assert (findings.width, findings.height, findings.format) == (400, 300, "jpeg")
    assert len(findings.accent_color) == 6
    assert (findings.same, findings.offers, findings.tags, findings.suggestions) == ((), (), (), ())
    assert (findings.best_query, findings.caption, findings.token) == (None, None, None)


def test_unavailable_insights_are_named(sample: Engine, rows: dict[str, Item]) -> None:
    """Every insight that the engine never has is named once, with a reason."""
    kinds = [kind for kind, reason in sample.inspect(read(rows["bag-sand"])).unavailable if reason]
    assert len(kinds) == len(set(kinds))
    assert {"entities", "text", "related_searches", "recipes"} <= set(kinds)


def test_a_crop_is_searched_instead_of_the_whole(sample: Engine, rows: dict[str, Item]) -> None:
    """Of two pictures side by side, the crop selects one; the facts are still those of the whole."""
    pair = Image.new("RGB", (960, 480))
    pair.paste(opened(rows["mug-heart"]), (0, 0))
    pair.paste(opened(rows["bag-forest"]), (480, 0))
    query = encode(pair, quality=92)
    assert ids(sample.inspect(query, crop=(0, 0, 0.5, 1))) == {"mug-heart"}
    right = sample.inspect(query, crop=(0.5, 0, 1, 1))
    assert ids(right) == {"bag-forest"}
    assert (right.width, right.height, right.token) == (960, 480, None)


@pytest.mark.parametrize(
    "site",
    ["posters.example.com", "POSTERS.example.com", "https://posters.example.com/shop", "www.posters.example.com"],
)
def test_a_site_filters_similar_pictures_and_products_only(sample: Engine, rows: dict[str, Item], site: str) -> None:
    """The site filter keeps the similar pictures and products of one host; the same picture stays on all pages."""
    findings = sample.inspect(read(rows["poster-fjord"]), site=site)
    assert findings.similar
    assert {match.item.site for match in findings.similar} == {"posters.example.com"}
    assert findings.products == findings.similar
    assert "poster-fjord-small" in ids(findings)


def test_a_parent_site_covers_the_hosts_below_it(sample: Engine, rows: dict[str, Item]) -> None:
    """example.com covers its subdomains, and not other hosts with the same ending."""
    findings = sample.inspect(read(rows["mug-teal"]), site="example.com")
    assert {match.item.site for match in findings.similar} == {"harbour-goods.example.com", "press.example.com"}


def test_far_pictures_are_left_out(sample: Engine, rows: dict[str, Item]) -> None:
    """A mug has a handful of similar pictures, all of them mugs; none is far behind the best."""
    similar = sample.inspect(read(rows["mug-teal"])).similar
    assert 5 < len(similar) < 12
    assert {match.item.category for match in similar} == {"mug"}
    assert similar[-1].score >= max(MIN_SIMILAR_COSINE, similar[0].score - MAX_BEHIND_BEST)


def test_a_few_similar_pictures_are_shown_however_near_the_best_is(sample: Engine, rows: dict[str, Item]) -> None:
    """One near twin does not hide the next ones, which are similar too."""
    similar = sample.inspect(read(rows["poster-fjord"])).similar
    assert similar[-1].score < similar[0].score - MAX_BEHIND_BEST
    assert {match.item.category for match in similar} == {"poster"}


def test_a_token_names_its_picture(sample: Engine, rows: dict[str, Item]) -> None:
    """A token gives the same findings as its picture; an unknown token gives none."""
    token = rows["mug-teal-at-nordlicht"].token
    assert token is not None
    assert sample.inspect_token(token) == sample.inspect(read(rows["mug-teal"]))
    assert sample.read_picture(token) == (SAMPLE.parent / "images" / "mug-teal.jpg").read_bytes()
    assert sample.inspect_token("own_nothing") is None
    with pytest.raises(BadPicture):
        sample.read_picture("own_nothing")


def test_tokens_are_opaque_and_distinct(rows: dict[str, Item]) -> None:
    """Each row with pixels has its own token, which contains neither id nor path."""
    tokens = [item.token for item in rows.values() if item.token]
    assert len(tokens) == len(set(tokens)) == len(rows) - 1
    assert all("mug" not in token and len(token) > 20 for token in tokens)


def test_a_row_is_found_by_its_urls(sample: Engine, rows: dict[str, Item]) -> None:
    """A page URL and an image column name a row; unknown URLs name none."""
    bag = rows["bag-sand"]
    assert bag.page_url is not None
    assert sample.find_by_url(bag.page_url) == bag
    assert sample.find_by_url(bag.image) == bag
    assert sample.find_by_url("https://example.com/unknown") is None


def test_the_broken_file_is_skipped_and_stays_findable(sample: Engine, rows: dict[str, Item]) -> None:
    """A row whose file is cut off has no facts of a picture, is counted, and can be found by its page."""
    broken = rows["mug-broken"]
    assert sample.skipped == 1
    assert (broken.width, broken.sha256, broken.token) == (None, None, None)
    assert broken.page_url is not None
    assert sample.find_by_url(broken.page_url) == broken


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
        sample.inspect(data)
    assert refused.value.code == code


def test_threads_share_an_engine(sample: Engine, rows: dict[str, Item]) -> None:
    """Four threads at the same time get the same findings as one."""
    queries = [read(rows[name]) for name in ("mug-navy", "bag-plum", "chair-oak-grey", "poster-vineyard")] * 3
    alone = [sample.inspect(query) for query in queries[:4]]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(sample.inspect, queries)) == alone * 3
