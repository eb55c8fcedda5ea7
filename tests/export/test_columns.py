"""The columns come from the types of the record, and their values keep to their kinds."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.export.columns import Cell, Column, Kind, renamed, scalar
from pipeline.export.tables import child_tables, picture_columns
from tests.jobs import make_record

RICH = make_record(
    "007",
    3,
    carry={"title": "Mug", "price": 12.5},
    caption={"text": "A mug", "related_searches": []},
    text={"full": "TEA", "regions": [{"lines": [{"text": "TEA", "words": [], "box": [{"x": 0.1, "y": 0.2}] * 2}]}]},
    tags=[{"name": "mug", "sources": [], "actions": []}, {"name": "tea", "sources": [], "actions": []}],
    offers=[
        {"name": "m", "price": 20.0, "currency": "EUR", "url": "https://a.example/1"},
        {"name": "m", "price": 9.0, "currency": "USD", "url": "https://b.example/1"},
        {"name": "m", "price": 18.5, "currency": "EUR", "url": "https://c.example/1", "seller": {"name": "C"}},
    ],
    similar_images={"items": [{"name": "x", "width": 5}], "total": 9},
    other=[{"where": "a", "value": {"b": [1]}}],
)


def row(record: Any, carried: tuple[str, ...] = ("title", "price")) -> dict[str, Cell]:
    """Return the flat row of a record by column."""
    return {column.name: column.read(record) for column in picture_columns(carried)}


def test_a_record_is_one_row() -> None:
    """Values of objects have columns of their own, lists are counted, and what is carried is text."""
    values = row(RICH)
    expected = {
        "id": "007",
        "ordinal": 3,
        "status": "ok",
        "carry_title": "Mug",
        "carry_price": "12.5",
        "caption_text": "A mug",
        "text_full": "TEA",
        "tags": "mug; tea",
        "tags_count": 2,
        "offers_count": 3,
        "similar_images_count": 1,
        "similar_images_total": 9,
        "source_width": 640,
        "calls_trace_ids": "a; b",
        "calls_from_store": False,
        "failure_code": None,
        "market": None,
    }
    assert {name: values[name] for name in expected} == expected


def test_the_lowest_price_is_of_one_currency() -> None:
    """Prices in other currencies than that of the first offer are not compared with it."""
    values = row(RICH)
    assert (values["lowest_price"], values["lowest_price_currency"]) == (18.5, "EUR")
    assert values["lowest_price_url"] == "https://c.example/1"


def test_a_failure_is_a_row_without_insights() -> None:
    """It says why; everything that was never looked at is unknown, not 0."""
    values = row({"id": "b", "ordinal": 4, "status": "failed", "code": "truncated", "message": "cut", "image": "b.jpg"})
    assert {name: value for name, value in values.items() if value is not None} == {
        "id": "b",
        "ordinal": 4,
        "status": "failed",
        "failure_code": "truncated",
        "failure_message": "cut",
    }


def test_the_columns_are_those_of_an_empty_record() -> None:
    """What a night brought changes no column: names and kinds come from the types alone."""
    assert set(row(RICH)) == set(row(make_record("a")))
    kinds = {column.name: column.kind for column in picture_columns()}
    assert (kinds["lowest_price"], kinds["ordinal"], kinds["calls_usage_units"]) == ("number", "integer", "text")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lines", [("007", 1, "TEA", 0.1, 0.2, 0.1, 0.2)]),
        ("other", [("007", 1, "a", '{"b":[1]}')]),
    ],
)
def test_the_items_of_a_list_are_rows_of_a_child_table(name: str, expected: list[tuple[Cell, ...]]) -> None:
    """Each has the row's id and its own number."""
    (child,) = child_tables([name])
    assert list(child.rows("007", RICH)) == expected


def test_every_list_of_a_record_has_a_child_table() -> None:
    """`all` names them all; a name that there isn't is refused with those that there are."""
    names = [child.table.name for child in child_tables(["all"])]
    assert {"tags", "offers", "pages", "similar_images", "entities", "lines"} <= set(names)
    with pytest.raises(UsageError, match=r"there is no table 'offer'; there are .*offers.*, and all"):
        child_tables(["offer"])


def test_an_item_s_own_id_is_not_that_of_the_row() -> None:
    """Entities have ids of their own."""
    (child,) = child_tables(["entities"])
    assert [column.name for column in child.table.columns][:2] == ["id", "number"]
    assert "item_id" in [column.name for column in child.table.columns]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("integer", 7.0, 7),
        ("integer", 7.5, None),
        ("integer", 2**70, None),
        ("integer", "7", None),
        ("number", 7, 7.0),
        ("number", "x", None),
        ("boolean", 1, None),
        ("text", 7, "7"),
        ("text", ["a"], '["a"]'),
        ("text", None, None),
    ],
)
def test_a_value_keeps_to_the_kind_of_its_column(kind: Kind, value: object, expected: Cell) -> None:
    """What a service sends in another type never changes a column."""
    result = scalar(kind, value)
    assert (result, type(result)) == (expected, type(expected))


def test_column_names_are_plain_and_different() -> None:
    """BigQuery takes letters, digits and _ only; DuckDB takes upper and lower case for the same."""
    columns = [Column(name=name, kind="text", read=lambda _: None) for name in ("a b", "a.b", "A_B", "größe", "")]
    assert [column.name for column in renamed(columns)] == ["a_b", "a_b_2", "A_B_3", "größe", "_"]
