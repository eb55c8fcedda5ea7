"""Read JSON objects by table: what is in the table lands under its record's name, all else is kept in `other`.

Objects of one kind come in few forms, so the work of sorting an object's keys is done once for each form (a Plan),
and an object of a known form costs a pass over its values: reading an answer must stay cheaper than parsing it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from pipeline.records import Crop
from pipeline.schema import Origin, Other

# Where a value stands in the answer: the place of what holds it, and its own key or index; None is the answer itself.
At = tuple[Any, str | int] | None
Json = dict[str, Any]
T = TypeVar("T")

EMPTY: Mapping[str, Any] = MappingProxyType({})
_MAX_DEPTH = 100
_TOO_DEEP = "(left out: nested too deeply)"
_MAX_PLANS = 256  # forms of one shape that are remembered; recorded answers have up to four


@dataclass(frozen=True, slots=True)
class Context:
    """What is the same for a whole answer: whence its facts come, the crop its boxes refer to, what is left over."""

    origin: Origin
    crop: Crop | None = None
    other: list[Other] = field(default_factory=list)
    rules: list[tuple[At, Any]] = field(default_factory=list)

    def keep(self, at: At, value: Any) -> None:
        """Keep what has no place in the record; null says nothing, so it is dropped.

        Contractual rules may stand in any object: they are kept with the place of what they govern.
        """
        if at is not None and at[1] == "contractualRules" and type(value) is list:
            self.rules.append((at[0], value))
        elif value is not None:
            self.other.append({"where": path_text(at), "value": value if _is_shallow(value) else _TOO_DEEP})


# Reads one object. A Convert reads any value: None means that it can't be read, and keeps it in `other`.
Read = Callable[[Json, "Context", At], Any]
Convert = Callable[[Any, "Context", At], Any]


def _is_shallow(value: Any) -> bool:
    """Tell whether a value can be written again: JSON is read to a depth of 1024, but written to 254 only (orjson)."""
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


def path_text(at: At) -> str:
    """Write a place as text, such as tags[0].actions[2].data."""
    parts: list[str] = []
    while at is not None:
        at, key = at
        parts.append(f"[{key}]" if isinstance(key, int) else f".{key}")
    return "".join(reversed(parts)).removeprefix(".")


@dataclass(frozen=True, slots=True)
class Plan:
    """How objects with one set of keys are read: each part in a tuple of key, name in the record, and type or reader.

    `unknown` keys are kept in `other`; `is_plain` where there is nothing but plain values.
    """

    plain: tuple[tuple[str, str, type], ...]
    scalars: tuple[tuple[str, str, Callable[[Any], Any]], ...]
    objects: tuple[tuple[str, str, Read], ...]
    lists: tuple[tuple[str, str, Read], ...]
    converted: tuple[tuple[str, str, Convert], ...]
    unknown: tuple[str, ...]
    is_plain: bool


class Shape:
    """One kind of JSON object, as tables from a key of the answer to its name in the record and how it is read.

    `plain` values are taken verbatim if they have the type, `scalars` need nothing but themselves, `objects` and
    `lists` of objects have a reader for each object, `converted` may be anything. `dropped` keys are left out on
    purpose, and so are ping suffixes and type hints. All other keys are kept in `other`, and so is every value that
    can't be read.
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
        self._plans: dict[tuple[str, ...], Plan] = {}

    def read(self, source: Json, context: Context, at: At) -> Json:
        """Return the record's form of one object; what can't be read is kept in `other`."""
        keys = tuple(source)
        plan = self._plans.get(keys) or self._learn(keys)
        found = {name: value for key, name, kind in plan.plain if type(value := source[key]) is kind}
        if len(found) != len(plan.plain):
            found = _look_at_each(plan, source, context, at)
        if not plan.is_plain:
            _read_rest(plan, source, found, context, at)
        return found

    def _learn(self, keys: tuple[str, ...]) -> Plan:
        unknown = tuple(key for key in keys if key not in self._known and not key.endswith("PingSuffix"))
        tables = (self._scalars, self._objects, self._lists, self._converted)
        plan = Plan(
            plain=_chosen(keys, self._plain),
            scalars=_chosen(keys, self._scalars),
            objects=_chosen(keys, self._objects),
            lists=_chosen(keys, self._lists),
            converted=_chosen(keys, self._converted),
            unknown=unknown,
            is_plain=not unknown and all(table.keys().isdisjoint(keys) for table in tables),
        )
        if len(self._plans) >= _MAX_PLANS:
            self._plans.clear()
        self._plans[keys] = plan
        return plan


def _read_rest(plan: Plan, source: Json, found: Json, context: Context, at: At) -> None:
    for key, name, read in plan.scalars:
        value = read(source[key])
        if value is None:
            context.keep((at, key), source[key])
        else:
            found[name] = value
    for key, name, read_one in plan.objects:
        value = source[key]
        if type(value) is dict:
            found[name] = read_one(value, context, (at, key))
        else:
            context.keep((at, key), value)
    for key, name, read_one in plan.lists:
        items = read_list(source[key], read_one, context, (at, key))
        if items is not None:
            found[name] = items
    for key, name, convert in plan.converted:
        value = convert(source[key], context, (at, key))
        if value is None:
            context.keep((at, key), source[key])
        else:
            found[name] = value
    for key in plan.unknown:
        context.keep((at, key), source[key])


def _chosen(keys: tuple[str, ...], table: Mapping[str, tuple[str, T]]) -> tuple[tuple[str, str, T], ...]:
    return tuple((key, *table[key]) for key in keys if key in table)


def _look_at_each(plan: Plan, source: Json, context: Context, at: At) -> Json:
    found = {}
    for key, name, kind in plan.plain:
        taken = _as(kind, source[key])
        if taken is None:
            context.keep((at, key), source[key])
        else:
            found[name] = taken
    return found


def _as(kind: type, value: Any) -> Any:
    """Take a value as `kind`; numbers come as int or float, whichever the service likes."""
    if type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return value
    if kind is int and type(value) is float and value.is_integer():
        return int(value)
    return None


def read_list(value: Any, read: Read, context: Context, at: At) -> list[Any] | None:
    """Read a list of objects; whatever is no list, or no object in it, is kept in `other`."""
    if type(value) is not list:
        context.keep(at, value)
        return None
    found = []
    for index, item in enumerate(value):
        if type(item) is dict:
            found.append(read(item, context, (at, index)))
        else:
            context.keep((at, index), item)
    return found
