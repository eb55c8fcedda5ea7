"""The columns of the tables, from the types of the record: they are the same whatever a night has brought.

A value of an object is a column of its own (`source.width` is `source_width`), a box is its four sides. A list of texts
is one text, a list of objects is their number; its items are the rows of a child table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args, get_origin, get_type_hints

import orjson
from typing_extensions import is_typeddict

from pipeline.schema import Box, ImageRef

Kind = Literal["text", "integer", "number", "boolean"]
Cell = str | int | float | bool | None
JOIN = "; "
_KINDS: dict[Any, Kind] = {str: "text", int: "integer", float: "number", bool: "boolean"}
# Lists of objects that also are a text: the value of each item that says most.
_LABELS = {
    "tags": "name",
    "entities": "name",
    "uris": "uri",
    "dominant_colors": "hex",
    "codes": "text",
    "unavailable": "kind",
}
_SIDES = {"left": (min, "x"), "top": (min, "y"), "right": (max, "x"), "bottom": (max, "y")}
_MOST = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table; `read` returns its value of the object that a row comes from, None where it has none."""

    name: str
    kind: Kind
    read: Callable[[Mapping[str, Any]], Cell]


def columns_of(kind: type, fields: Iterable[str] | None = None, path: tuple[str, ...] = ()) -> Iterator[Column]:
    """Yield the columns of an object of the schema that lies at `path` of a row: of all its fields, or of these."""
    hints = get_type_hints(kind)
    for name in hints if fields is None else fields:
        yield from _columns(hints[name], (*path, name))


def scalar(kind: Kind, value: object) -> Cell:
    """Return a value as one of its column's kind; what can't be that is None, but for text, which anything can be."""
    match kind:
        case "text":
            return value if isinstance(value, str) or value is None else orjson.dumps(value).decode()
        case "boolean":
            return value if isinstance(value, bool) else None
        case "integer":
            is_number = isinstance(value, int | float) and -_MOST <= value < _MOST
            return int(value) if is_number and value == int(value) else None  # type: ignore[call-overload] # is_number
        case "number":
            return float(value) if isinstance(value, int | float) else None


def at(path: tuple[str, ...], row: Mapping[str, Any]) -> Any:
    """Return what lies at a path of a row, None where nothing does."""
    value: Any = row
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def renamed(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Return columns with names that every tool takes: word characters, no two the same in any case."""
    chosen: dict[str, Column] = {}
    for column in columns:
        plain = re.sub(r"\W", "_", column.name) or "_"
        number, name = 2, plain
        while name.lower() in chosen:
            number, name = number + 1, f"{plain}_{number}"
        chosen[name.lower()] = replace(column, name=name)
    return tuple(chosen.values())


def _columns(annotation: Any, path: tuple[str, ...]) -> Iterator[Column]:
    if annotation == Box:
        yield from _box_columns(path)
    elif is_typeddict(annotation):
        yield from _object_columns(annotation, path)
    elif get_origin(annotation) is list and is_typeddict(get_args(annotation)[0]):
        yield from _list_columns(path)
    elif annotation == list[str]:
        yield Column(name=_name(path), kind="text", read=partial(_joined, path))
    else:
        kind = _kind(annotation)
        yield Column(name=_name(path), kind=kind, read=partial(_scalar, kind, path))


def _object_columns(kind: type, path: tuple[str, ...]) -> Iterator[Column]:
    """Yield the columns of an object; of the picture itself only its own, or a table had a hundred more."""
    is_picture = kind is ImageRef and path == ("image",)
    own = [name for name, annotation in get_type_hints(kind).items() if not is_typeddict(annotation)]
    return columns_of(kind, own if is_picture else None, path)


def _list_columns(path: tuple[str, ...]) -> Iterator[Column]:
    name = _name(path)
    if path[-1] in _LABELS:
        yield Column(name=name, kind="text", read=partial(_labels, path, _LABELS[path[-1]]))
    yield Column(name=f"{name}_count", kind="integer", read=partial(_count, path))


def _box_columns(path: tuple[str, ...]) -> Iterator[Column]:
    for side in _SIDES:
        yield Column(name=f"{_name(path)}_{side}", kind="number", read=partial(_side, path, side))


def _name(path: tuple[str, ...]) -> str:
    """Return the name of a column; `items` of a list of similar images are the list."""
    return "_".join(path[:-1] if path[-1] == "items" else path)


def _kind(annotation: Any) -> Kind:
    """Return the kind of a scalar; a choice is text, what may be anything is JSON in text."""
    return _KINDS.get(annotation, "text")


def _scalar(kind: Kind, path: tuple[str, ...], row: Mapping[str, Any]) -> Cell:
    return scalar(kind, at(path, row))


def _joined(path: tuple[str, ...], row: Mapping[str, Any]) -> Cell:
    values = at(path, row)
    return JOIN.join(map(str, values)) if values else None


def _labels(path: tuple[str, ...], label: str, row: Mapping[str, Any]) -> Cell:
    return JOIN.join(str(item[label]) for item in at(path, row) or () if item.get(label)) or None


def _count(path: tuple[str, ...], row: Mapping[str, Any]) -> Cell:
    items = at(path, row)
    return None if items is None else len(items)


def _side(path: tuple[str, ...], side: str, row: Mapping[str, Any]) -> Cell:
    choose, axis = _SIDES[side]
    points = at(path, row)
    return float(choose(point[axis] for point in points)) if points else None
