"""Searches of the catalogue by words and filters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.service.findings import Item
from pipeline.service.refusals import Refused
from pipeline.service.search.expression import parse
from pipeline.service.search.query import NumberRange, PageRange, SearchFilters, SearchQuery
from pipeline.service.search.word_index import WordIndex

if TYPE_CHECKING:
    from tests.service.serving import FixedEngine

ItemOf = Callable[..., Item]
RED = (("B91C1C", 0.5), ("FFFFFF", 0.5))
GRAY = (("222222", 0.5), ("DDDDDD", 0.5))


@pytest.fixture
def word_index(engine: FixedEngine, item_of: ItemOf) -> WordIndex:
    """Return the word index of a few very different rows."""
    bare = {"description": None, "tags": (), "category": None, "seller": None}
    engine.rows = [
        item_of(0, title="Blue mug", width=150, height=150, license="ShareCommercially", adult=False),
        item_of(
            1,
            title="Red mug",
            license="Public",
            animated=True,
            accent_color="B91C1C",
            dominant_colors=RED,
            width=400,
            height=300,
        ),
        # White and black, with a red heart.
        item_of(
            2,
            title="Café poster",
            license="Modify",
            transparent=True,
            accent_color="D02A3B",
            dominant_colors=GRAY,
            width=800,
            height=1200,
            price=None,
            published="2020-02-03",
            **bare,
        ),
        item_of(
            3, title="Blue poster", site="other.example", width=600, height=500, bytes=600_000, published=None, **bare
        ),
        item_of(
            4,
            title="Old sign",
            adult=True,
            animated=True,
            content_url="http://img.example/x.gif",
            width=1920,
            height=1080,
            format="png",
            accent_color="222222",
            dominant_colors=GRAY,
            published="long ago",
            **bare,
        ),
        item_of(5, title="Blue mug without a picture", token=None),
    ]
    return WordIndex(engine)


@pytest.mark.parametrize(
    ("words", "filters", "rows"),
    [
        ("mug", {}, [0, 1]),
        ("MUGS", {}, []),
        ("blu mug", {}, [0, 1]),
        ("cafe", {}, [2]),
        ("kitchen red", {}, [1]),
        ("red poster", {}, [1, 2, 3]),
        ('mug" OR *', {}, [0, 1]),
        ("poster site:other.example", {}, [3]),
        ("site:www.other.example", {}, [3]),
        ("site:shop.example/mugs/1", {}, [1]),
        ("site:shop.example/mugs poster", {}, [2]),
        ("site:shop.example/mug poster", {}, []),
        ("site:example -site:other.example poster", {}, [2]),
        ("poster -blue", {}, [2]),
        ("mug NOT (red OR sign)", {}, [0]),
        ("-blue", {}, [2, 4]),
        ("(red OR cafe) -mug", {}, [2]),
        ('"tea mug"', {}, []),
        ('"blue mug" OR sign', {}, [0, 4]),
        ("intitle:mug", {}, [0, 1]),
        ("intitle:kitchen", {}, []),
        ("filetype:png", {}, [4]),
        ("mug filetype:jpg", {}, [0, 1]),
        ("mug filetype:pdf", {}, []),
        ("-poster site:%", {}, []),
        ("mug", {"color": "Red"}, [1]),
        ("sign", {"color": "Monochrome"}, [4]),
        ("mug sign cafe", {"color": "ColorOnly"}, [0, 1, 2]),
        ("mug poster", {"size": "Small"}, [0]),
        ("mug poster", {"size": "Medium"}, [1]),
        ("mug poster", {"size": "Large"}, [2, 3]),
        ("mug poster", {"aspect": "Square"}, [0]),
        ("mug poster", {"aspect": "Wide"}, [1, 3]),
        ("mug poster", {"aspect": "Tall"}, [2]),
        ("poster", {"image_type": "Shopping"}, [3]),
        ("-none", {"image_type": "AnimatedGif"}, [1, 4]),
        ("-none", {"image_type": "AnimatedGifHttps"}, [1]),
        ("-none", {"image_type": "Photo"}, [0, 2, 3]),
        ("-none", {"image_type": "Transparent"}, [2]),
        ("-none", {"license": "Any"}, [0, 1, 2]),
        ("-none", {"license": "Share"}, [0, 1, 2]),
        ("-none", {"license": "Modify"}, [1, 2]),
        ("-none", {"license": "ShareCommercially"}, [0, 1]),
        ("-none", {"license": "ModifyCommercially"}, [1]),
        ("-none", {"license": "Public"}, [1]),
        ("-none", {"without_adult": True}, [0, 1, 2, 3]),
        ("-none", {"size": "Wallpaper"}, [4]),
        ("poster", {"bytes": NumberRange(low=520_192)}, [3]),
        ("mug poster", {"width": NumberRange(low=400, high=400)}, [1]),
        ("mug poster", {"height": NumberRange(high=300)}, [0, 1]),
        ("poster sign", {"since": datetime(2020, 1, 1), "until": datetime(2020, 12, 31)}, [2]),
        ("mug", {"since": datetime(2026, 10, 1, 12), "until": datetime(2026, 10, 2, 12)}, [0]),
        ("mug", {"since": datetime(2026, 10, 1, 12, 0, 1)}, [1]),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_words_and_filters(word_index: WordIndex, words: str, filters: dict[str, Any], rows: list[int]) -> None:
    """Rows with all words are found, or else those with any; every filter narrows; rows without a picture are not."""
    hits = word_index.search(SearchQuery(text=words, expression=parse(words), filters=SearchFilters(**filters)))
    assert sorted(item.number for item in hits.items) == rows
    assert hits.total == len(rows)


def test_a_licence_that_no_row_has_is_refused(engine: FixedEngine) -> None:
    """Leaving the filter out would give wrong results; Any is what callers send who don't mind."""
    index = WordIndex(engine)
    ask = partial(SearchQuery, text="", expression=parse("mug"))
    assert index.search(ask(filters=SearchFilters(license="Any"))).total == 60
    with pytest.raises(Refused, match="invalid value"):
        index.search(ask(filters=SearchFilters(license="Share")))


def test_the_image_of_an_id_comes_first(word_index: WordIndex) -> None:
    """Image Search reference, id: that image is the first of the list, whatever its rank."""
    hits = word_index.search(SearchQuery(text="", expression=parse("sign poster"), first_id="sku-3"))
    assert hits.items[0].number == 3
    assert sorted(item.number for item in hits.items) == [2, 3, 4]


def test_a_page_is_a_part_of_the_hits(word_index: WordIndex) -> None:
    """`total` counts all rows, whatever the page."""
    pages = [PageRange(offset=0, count=2), PageRange(offset=2, count=2)]
    hits = [word_index.search(SearchQuery(text="", expression=parse("poster mug"), page=page)) for page in pages]
    assert [(len(each.items), each.total) for each in hits] == [(2, 4), (2, 4)]
    assert len({item.number for each in hits for item in each.items}) == 4
