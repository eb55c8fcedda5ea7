"""Read JSON objects by table: each listed key becomes a field of the record, and every other key is kept in `other`.

Objects of one kind come with few different sets of keys. The work of sorting the keys is done once for each set, in a
ReadPlan; reading an object then takes one pass over its values. Reading a response stays cheaper than parsing it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from pipeline.records import Crop
from pipeline.schema import Origin, Other

# The path of a value in the response, from the inside out: the path of its parent, and its own key or index. None is
# the whole response. A linked pair costs nothing to extend; path_text() turns the few that are needed into text.
JsonPath = tuple[Any, str | int] | None
Json = dict[str, Any]
T = TypeVar("T")

EMPTY: Mapping[str, Any] = MappingProxyType({})
_MAX_DEPTH = 100
_WIDEST = 2.0**63  # a whole number beyond it fits into no integer of 64 bits
_TOO_DEEP = "(left out: nested too deeply)"
_MAX_PLANS = 256  # key sets remembered for one shape; recorded responses have up to four


@dataclass(frozen=True, slots=True)
class Context:
    """What applies to a whole response, and what is left over from it.

    `origin` says where its facts come from, `crop` is the region that its boxes refer to. `other` and
    `contractual_rules` collect what the readers have no field for.
    """

    origin: Origin
    crop: Crop | None = None
    other: list[Other] = field(default_factory=list)
    contractual_rules: list[tuple[JsonPath, Any]] = field(default_factory=list)

    def keep(self, path: JsonPath, value: Any) -> None:
        """Keep a value that has no field in the record; null means absent and is dropped.

        Contractual rules may occur in any object. They are kept with the path of the object that they govern.
        """
        if path is not None and path[1] == "contractualRules" and type(value) is list:
            self.contractual_rules.append((path[0], value))
        elif value is not None:
            self.other.append({"where": path_text(path), "value": value if _is_shallow(value) else _TOO_DEEP})


# Reads one object. A Convert reads any value; it returns None for a value that goes to `other` unread.
Read = Callable[[Json, "Context", JsonPath], Any]
Convert = Callable[[Any, "Context", JsonPath], Any]


def _is_shallow(value: Any) -> bool:
    """Return True if a value can be written again: orjson reads JSON to a depth of 1024, but writes only to 254."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for item in level
            if isinstance(item, (dict, list))
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return True
    return False


def path_text(path: JsonPath) -> str:
    """Write a path as text, such as tags[0].actions[2].data."""
    parts: list[str] = []
    while path is not None:
        path, key = path
        parts.append(f"[{key}]" if isinstance(key, int) else f".{key}")
    return "".join(reversed(parts)).removeprefix(".")


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """How objects with one set of keys are read: tuples of key, field of the record, and its type or reader.

    The `unknown` keys are kept in `other`. `is_plain` is True if all keys have plain values.
    """

    plain: tuple[tuple[str, str, type], ...]
    scalars: tuple[tuple[str, str, Callable[[Any], Any]], ...]
    objects: tuple[tuple[str, str, Read], ...]
    lists: tuple[tuple[str, str, Read], ...]
    converted: tuple[tuple[str, str, Convert], ...]
    unknown: tuple[str, ...]
    is_plain: bool


class Shape:
    """One kind of JSON object: tables from a key of the response to its field in the record and its reader.

    `plain` values of the given type are copied. `scalars` have a function of the value alone. `objects`, and `lists`
    of objects, have a reader for one object. `converted` values may be of any kind. `dropped` keys are left out on
    purpose, like the keys for type hints and click tracking (PingSuffix). All other keys are kept in `other`, and so
    is every value that can't be read.
    """

    def __init__(
        self,
        plain: Mapping[str, tuple[str, type]] = EMPTY,
        *,
        scalars: Mapping[str, tuple[str, Callable[[Any], Any]]] = EMPTY,
        objects: Mapping[str, tuple[str, Read]] = EMPTY,
        lists: Mapping[str, tuple[str, Read]] = EMPTY,
        converted: Mapping[str, tuple[str, Convert]] = EMPTY,
        dropped: Iterable[str] = (),
    ) -> None:
        self._plain = plain
        self._scalars = scalars
        self._objects = objects
        self._lists = lists
        self._converted = converted
        self._known = {*plain, *scalars, *objects, *lists, *converted, *dropped, "_type", "@type"}
        self._plans: dict[tuple[str, ...], ReadPlan] = {}

    def read(self, source: Json, context: Context, path: JsonPath) -> Json:
        """Return one object as fields of the record; what can't be read is kept in `other`."""
        keys = tuple(source)
        plan = self._plans.get(keys) or self._new_plan(keys)
        fields = {name: value for key, name, kind in plan.plain if type(value := source[key]) is kind}
        if len(fields) != len(plan.plain):
            fields = _coerced_fields(plan, source, context, path)
        if not plan.is_plain:
            _add_other_fields(plan, source, fields, context, path)
        return fields

    def _new_plan(self, keys: tuple[str, ...]) -> ReadPlan:
        unknown = tuple(key for key in keys if key not in self._known and not key.endswith("PingSuffix"))
        tables = (self._scalars, self._objects, self._lists, self._converted)
        plan = ReadPlan(
            plain=_entries(keys, self._plain),
            scalars=_entries(keys, self._scalars),
            objects=_entries(keys, self._objects),
            lists=_entries(keys, self._lists),
            converted=_entries(keys, self._converted),
            unknown=unknown,
            is_plain=not unknown and all(table.keys().isdisjoint(keys) for table in tables),
        )
        if len(self._plans) >= _MAX_PLANS:
            self._plans.clear()
        self._plans[keys] = plan
        return plan


def _entries(keys: tuple[str, ...], table: Mapping[str, tuple[str, T]]) -> tuple[tuple[str, str, T], ...]:
    return tuple((key, *table[key]) for key in keys if key in table)


def _add_other_fields(plan: ReadPlan, source: Json, fields: Json, context: Context, path: JsonPath) -> None:
    """Add everything but the plain values to `fields`."""
    for key, name, read in plan.scalars:
        value = read(source[key])
        if value is None:
            context.keep((path, key), source[key])
        else:
            fields[name] = value
    for key, name, read_one in plan.objects:
        value = source[key]
        if type(value) is dict:
            fields[name] = read_one(value, context, (path, key))
        else:
            context.keep((path, key), value)
    for key, name, read_one in plan.lists:
        items = read_list(source[key], read_one, context, (path, key))
        if items is not None:
            fields[name] = items
    for key, name, convert in plan.converted:
        value = convert(source[key], context, (path, key))
        if value is None:
            context.keep((path, key), source[key])
        else:
            fields[name] = value
    for key in plan.unknown:
        context.keep((path, key), source[key])


def _coerced_fields(plan: ReadPlan, source: Json, context: Context, path: JsonPath) -> Json:
    """Return the plain values of an object in which at least one has another type than its table says."""
    fields = {}
    for key, name, kind in plan.plain:
        value = _coerce(source[key], kind)
        if value is None:
            context.keep((path, key), source[key])
        else:
            fields[name] = value
    return fields


def _coerce(value: Any, kind: type) -> Any:
    """Return the value as `kind`, or None if it is of another type; whole numbers may come as int or float."""
    if type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return value
    if kind is int and type(value) is float and value.is_integer() and abs(value) < _WIDEST:
        return int(value)
    return None


def read_list(value: Any, read: Read, context: Context, path: JsonPath) -> list[Any] | None:
    """Read a list of objects, or return None for anything else; what can't be read is kept in `other`."""
    if type(value) is not list:
        context.keep(path, value)
        return None
    items = []
    for index, item in enumerate(value):
        if type(item) is dict:
            items.append(read(item, context, (path, index)))
        else:
            context.keep((path, index), item)
    return items
