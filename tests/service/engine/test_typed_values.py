"""Text of a catalogue in the forms of the protocol, or left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.service.engine import typed_values
from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.engine import open_engine
from pipeline.service.engine.items import item_from_fields, left_out
from pipeline.service.engine.typed_values import AVAILABILITIES
from pipeline.service.findings import CatalogueConfig
from tests.running import write_manifest


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("moment", "2025-03-18", "2025-03-18T00:00:00"),
        ("moment", "2025-03-18 14:05", "2025-03-18T14:05:00"),
        ("moment", "2025-03-18T14:05:06.123+02:00", "2025-03-18T12:05:06"),
        ("moment", "2013-06-21T12:00:00.0000000Z", "2013-06-21T12:00:00"),
        ("moment", "18.3.2025", "2025-03-18T00:00:00"),
        ("moment", "2020", None),
        ("moment", "20250318", None),
        ("moment", "yesterday", None),
        ("moment", "0001-01-01T00:00:00+02:00", None),
        ("day", "2018-02-20T00:00:00.0000000", "2018-02-20"),
        ("day", "16.4.2018", "2018-04-16"),
        ("day", "2018/4/16", "2018-04-16"),
        ("day", "04/16/2018", None),
        ("day", "31.2.2018", None),
        ("availability", "in stock", "InStock"),
        ("availability", "in_stock", "InStock"),
        ("availability", "https://schema.org/InStock", "InStock"),
        ("availability", "http://www.schema.org/PreOrder", "PreOrder"),
        ("availability", "Out of stock", "OutOfStock"),
        ("availability", "BackOrder", None),
        ("availability", "5", None),
        ("duration", "PT45M", "PT45M"),
        ("duration", "pt1h30m", "PT1H30M"),
        ("duration", "45 minutes", "PT45M"),
        ("duration", "1 h 30 min", "PT1H30M"),
        ("duration", "1 hour and 5 mins.", "PT1H5M"),
        ("duration", "2 days", "P2D"),
        ("duration", "0 min", "PT0M"),
        ("duration", "45", None),
        ("duration", "PT", None),
        ("duration", "overnight", None),
        ("license_type", "ModifyCommercially", "ModifyCommercially"),
        ("license_type", "CC BY-SA 4.0", "ModifyCommercially"),
        ("license_type", "cc-by-nc-nd", "Share"),
        ("license_type", "CC-BY-ND", "ShareCommercially"),
        ("license_type", "CC0 1.0", "Public"),
        ("license_type", "https://creativecommons.org/licenses/by-nc/4.0/", "Modify"),
        ("license_type", "https://creativecommons.org/publicdomain/zero/1.0/", "Public"),
        ("license_type", "all rights reserved", None),
        ("truth", "Yes", True),
        ("truth", "0", False),
        ("truth", "maybe", None),
        ("currency", "eur", "EUR"),
        ("currency", "€", "EUR"),
        ("currency", "$", None),
        ("currency", "Euros", None),
    ],
)
def test_forms(kind: str, text: str, value: str | bool | None) -> None:
    """What has only one meaning is written in the documented form; what has none, or several, is left out."""
    assert getattr(typed_values, kind)(text) == value


@pytest.mark.parametrize(
    ("value", "best", "rating"),
    [
        ("4.5", None, 4.5),
        ("8.0", "10", 4.0),
        ("90", "100", 4.5),
        ("1", "10", 1.0),
        ("0", None, None),
        ("6", None, None),
    ],
)
def test_ratings_are_those_of_a_scale_of_one_to_five(value: str, best: str | None, rating: float | None) -> None:
    """Other scales are converted; no review is no rating."""
    assert typed_values.rating(value, best) == rating


@pytest.mark.parametrize("name", AVAILABILITIES)
def test_every_documented_availability_is_itself(name: str) -> None:
    """In any case."""
    assert typed_values.availability(name) == typed_values.availability(name.upper()) == name


@given(st.text(max_size=30))
def test_what_is_read_is_read_again(text: str) -> None:
    """No text breaks a reader, and what one returns has the form that it reads."""
    for read in (typed_values.moment, typed_values.day, typed_values.availability, typed_values.duration):
        value = read(text)
        assert value is None or read(value) == value


def test_what_has_no_form_is_left_out_of_its_row_and_named() -> None:
    """The rest of the row is served."""
    fields = {
        "id": "a",
        "image": "a.png",
        "title": "Pie",
        "published": "yesterday",
        "availability": "some",
        "price": "x",
    }
    fields |= {"cook_time": "45 minutes", "prep_time": "short", "rating": "0", "creator": "Ada", "updated": "1.2.2026"}
    item = item_from_fields(0, fields)
    assert (item.title, item.published, item.availability, item.price, item.rating) == ("Pie", None, None, None, None)
    assert item.recipe is not None
    assert (item.recipe.cook_time, item.recipe.prep_time, item.recipe.creator) == ("PT45M", None, "Ada")
    assert item.updated == "2026-02-01"
    assert sorted(left_out(fields)) == ["availability", "prep_time", "price", "published", "rating"]


def test_the_index_counts_what_is_left_out(tmp_path: Path, decoders: Decoders) -> None:
    """By column, over all rows that are served."""
    rows = [
        {"id": str(n), "image": "none.png", "published": day, "price": "x"} for n, day in enumerate(("2026", "soon"))
    ]
    catalogue = write_manifest(tmp_path / "rows.csv", rows)
    engine = open_engine(CatalogueConfig(path=catalogue), tmp_path / "index", decoders)
    assert engine.left_out == {"published": 2, "price": 2}
