"""The tables of an export: the flat one, with a row for each picture, and a child table for each list of a record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import Any, get_args, get_origin, get_type_hints

from typing_extensions import is_typeddict

from pipeline.errors import UsageError
from pipeline.export.columns import Cell, Column, at, columns_of, renamed, scalar
from pipeline.schema import Insights, Line, Record

PICTURES = "pictures"
Row = tuple[Cell, ...]
# What a table needs first. The rest of a record comes in this order: what is known of the picture, how it was asked.
_HEAD = ("id", "ordinal", "status")
_ASKED = ("source", "sent", "calls", "provider", "asked_at", "schema")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table by its name, and its columns."""

    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildTable:
    """A table of the items of one list of a record; its first two columns are the row's id and the item's number."""

    table: Table
    items: Callable[[Mapping[str, Any]], Sequence[Mapping[str, Any]]]

    def rows(self, row_id: str, line: Mapping[str, Any]) -> Iterator[Row]:
        """Yield the rows of one record."""
        columns = self.table.columns[2:]
        for number, item in enumerate(self.items(line), 1):
            yield (row_id, number, *(column.read(item) for column in columns))


def picture_columns(carried: Iterable[str] = ()) -> tuple[Column, ...]:
    """Return the columns of the flat table, of a record or a failure; `carried` are the columns of the manifest."""
    known = [name for name in get_type_hints(Record) if name not in {*_HEAD, "carry", *_ASKED}]
    return renamed(
        [
            *columns_of(Record, _HEAD),
            *_FAILURE,
            *_carried(carried),
            *columns_of(Record, known),
            *_LOWEST_PRICE,
            *columns_of(Record, _ASKED),
        ]
    )


def child_tables(names: Sequence[str]) -> list[ChildTable]:
    """Return the child tables with these names, "all" for every one; raises UsageError for one that there isn't."""
    known = {child.table.name: child for child in _all_children()}
    if unknown := [name for name in names if name not in known and name != "all"]:
        raise UsageError(f"--tables: there is no table {unknown[0]!r}; there are {', '.join(known)}, and all")
    return [child for name, child in known.items() if name in names or "all" in names]


def _carried(names: Iterable[str]) -> list[Column]:
    """Return the columns of the manifest that a record carries along: as text, since any line may hold anything."""
    return [Column(name=f"carry_{name}", kind="text", read=partial(_carry, name)) for name in names]


def _carry(name: str, line: Mapping[str, Any]) -> Cell:
    return scalar("text", at(("carry", name), line))


def _failure(name: str, line: Mapping[str, Any]) -> Cell:
    return scalar("text", line.get(name)) if line.get("status") == "failed" else None


def _lowest_price(name: str, line: Mapping[str, Any]) -> Cell:
    """Return a value of the cheapest offer in the currency of the first one that has a price."""
    offers = [offer for offer in line.get("offers", ()) if offer.get("price") is not None]
    if not offers:
        return None
    cheapest = min((o for o in offers if o.get("currency") == offers[0].get("currency")), key=itemgetter("price"))
    return scalar("number" if name == "price" else "text", cheapest.get(name))


_ITEM = [
    Column(name="id", kind="text", read=itemgetter("id")),
    Column(name="number", kind="integer", read=itemgetter("number")),
]
_FAILURE = [Column(name=f"failure_{name}", kind="text", read=partial(_failure, name)) for name in ("code", "message")]
_LOWEST_PRICE = [
    Column(name="lowest_price", kind="number", read=partial(_lowest_price, "price")),
    Column(name="lowest_price_currency", kind="text", read=partial(_lowest_price, "currency")),
    Column(name="lowest_price_url", kind="text", read=partial(_lowest_price, "url")),
]


def _all_children() -> Iterator[ChildTable]:
    for name, annotation in get_type_hints(Insights).items():
        path: tuple[str, ...] = (name,)
        if is_typeddict(annotation) and "items" in (inner := get_type_hints(annotation)):
            path, annotation = (name, "items"), inner["items"]
        if get_origin(annotation) is list and is_typeddict(get_args(annotation)[0]):
            yield _child(name, columns_of(get_args(annotation)[0]), partial(_items, path))
    yield _child("lines", columns_of(Line, ("text", "box")), _text_lines)


def _child(
    name: str, columns: Iterable[Column], items: Callable[[Mapping[str, Any]], Sequence[Mapping[str, Any]]]
) -> ChildTable:
    """Return a child table; an item's own `id` is `item_id`, since `id` is that of the row."""
    own = [replace(column, name="item_id") if column.name == "id" else column for column in columns]
    return ChildTable(table=Table(name=name, columns=renamed([*_ITEM, *own])), items=items)


def _items(path: tuple[str, ...], line: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return at(path, line) or ()


def _text_lines(line: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [each for region in at(("text", "regions"), line) or () for each in region.get("lines", ())]
