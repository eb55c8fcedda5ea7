"""Searching the catalogue by words and filters, and what the service remembers of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import ServiceError
from pipeline.service.findings import Item
from pipeline.service.http.imagesearch import read_search
from pipeline.service.search.color_names import is_monochrome, name_color
from pipeline.service.search.query_log import KEPT_DAYS, QueryLog
from pipeline.service.search.words import WordIndex

if TYPE_CHECKING:
    from tests.service.http.conftest import PaperEngine, Served

ItemOf = Callable[..., Item]
RED = (("B91C1C", 0.5), ("FFFFFF", 0.5))
GRAY = (("222222", 0.5), ("DDDDDD", 0.5))


@pytest.fixture
def shelf(engine: PaperEngine, item_of: ItemOf) -> WordIndex:
    """Return the word index of a few very different rows."""
    bare = {"description": None, "tags": (), "category": None, "seller": None}
    engine.rows = [
        item_of(0, title="Blue mug", width=150, height=150),
        item_of(1, title="Red mug", accent_color="B91C1C", dominant_colors=RED, width=400, height=300),
        item_of(2, title="Café poster", width=800, height=1200, price=None, published="2020-02-03", **bare),
        item_of(
            3, title="Blue poster", site="other.example", width=600, height=500, bytes=600_000, published=None, **bare
        ),
        item_of(4, title="Old sign", accent_color="222222", dominant_colors=GRAY, published="long ago", **bare),
        item_of(5, title="Blue mug without a picture", token=None),
    ]
    return WordIndex(engine)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"q": "mug"}, [0, 1]),
        ({"q": "MUGS"}, []),
        ({"q": "blu mug"}, [0, 1]),
        ({"q": "cafe"}, [2]),
        ({"q": "kitchen red"}, [1]),
        ({"q": "red poster"}, [1, 2, 3]),
        ({"q": 'mug" OR *'}, [0, 1]),
        ({"q": "poster site:other.example"}, [3]),
        ({"q": "site:www.other.example"}, [3]),
        ({"q": "mug", "color": "Red"}, [1]),
        ({"q": "sign", "color": "Monochrome"}, [4]),
        ({"q": "mug sign", "color": "ColorOnly"}, [0, 1]),
        ({"q": "mug poster", "size": "Small"}, [0]),
        ({"q": "mug poster", "size": "Medium"}, [1]),
        ({"q": "mug poster", "size": "Large"}, [2, 3]),
        ({"q": "mug poster", "aspect": "Square"}, [0]),
        ({"q": "mug poster", "aspect": "Wide"}, [1, 3]),
        ({"q": "mug poster", "aspect": "Tall"}, [2]),
        ({"q": "poster", "imageType": "Shopping"}, [3]),
        ({"q": "poster", "minFileSize": "520192"}, [3]),
        ({"q": "mug poster", "width": "400"}, [1]),
        ({"q": "mug poster", "maxHeight": "300"}, [0, 1]),
        ({"q": "poster sign", "freshness": "2020-01-01..2020-12-31"}, [2]),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else None,
)
def test_words_and_filters(shelf: WordIndex, query: dict[str, str], found: list[int]) -> None:
    """All words first, any word where no row has all; every filter narrows; rows without a picture stay out."""
    hits = shelf.search(read_search(query))
    assert sorted(item.number for item in hits.items) == found
    assert hits.total == len(found)


def test_the_image_of_an_id_comes_first(shelf: WordIndex) -> None:
    """Reference 004, id: that image is the first of the list, whatever its rank."""
    hits = shelf.search(read_search({"q": "sign poster", "id": "sku-3"}))
    assert hits.items[0].number == 3
    assert sorted(item.number for item in hits.items) == [2, 3, 4]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("000000", "Black"), ("FFFFFF", "White"), ("808080", "Gray"), ("1E40AF", "Blue"), ("B91C1C", "Red"),
        ("15803D", "Green"), ("FACC15", "Yellow"), ("F97316", "Orange"), ("6F4E37", "Brown"), ("008080", "Teal"),
        ("7E22CE", "Purple"), ("EC4899", "Pink"), ("FFB6C1", "Pink"), ("00004B", "Blue"), ("2A0505", "Black"),
    ],
)  # fmt: skip
def test_colours_go_by_the_names_of_the_filter(code: str, name: str) -> None:
    """Colours that everyone would call by these names get them."""
    assert name_color(code) == name


def test_black_and_white_is_no_colour_at_all() -> None:
    """One colour among the greys makes a colour picture."""
    assert is_monochrome(["000000", "808080", "F8F8F8"])
    assert not is_monochrome(["000000", "B91C1C"])


def test_searches_are_counted_and_forgotten(tmp_path: Path) -> None:
    """The most frequent searches trend; after a month they are gone; a new start keeps the others."""
    today = date(2026, 11, 1)
    log = QueryLog(tmp_path / "queries.db", today=lambda: today)
    for text in ("Mug", "poster", " MUG "):
        log.record(text, [f"{text.strip().lower()}-1", "shared"])
    assert log.trending() == [("mug", "mug-1"), ("poster", "poster-1")]
    assert log.related(["shared"]) == ("mug", "poster")
    assert log.related(["poster-1"]) == ("poster",)
    assert log.related([]) == ()
    log.close()
    again = QueryLog(tmp_path / "queries.db", today=lambda: today + timedelta(days=KEPT_DAYS - 1))
    assert len(again.trending()) == 2
    again.close()
    late = QueryLog(tmp_path / "queries.db", today=lambda: today + timedelta(days=KEPT_DAYS))
    assert (late.trending(), late.related(["shared"])) == ([], ())
    late.close()


def test_a_query_log_that_breaks_costs_no_answer(
    tmp_path: Path, engine: PaperEngine, start: Callable[..., Served], picture: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Every endpoint goes on without it, and the log says why."""
    served = start(engine, query_log=tmp_path / "queries.db")
    with closing(sqlite3.connect(tmp_path / "queries.db")) as other:
        other.executescript("DROP TABLE searches; DROP TABLE found")
    assert served.send("GET", "/v7.0/images/search?q=mug").json["value"]
    assert "the query log can't be used (no such table" in caplog.text
    assert served.send("GET", "/v7.0/images/trending").status == 200
    assert served.ask(picture=picture).status == 200


def test_a_query_log_that_can_not_be_opened_is_said(tmp_path: Path) -> None:
    """A file that is no database stops the start with its name."""
    (tmp_path / "queries.db").write_bytes(b"not a database, but long enough to be read as one" * 40)
    with pytest.raises(ServiceError, match=r"queries\.db"):
        QueryLog(tmp_path / "queries.db")
