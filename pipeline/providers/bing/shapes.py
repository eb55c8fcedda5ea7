"""Read JSON objects by table: what is in the table lands under its record's name, all else is kept in `other`.

Objects of one kind come in few forms, so the work of sorting an object's keys is done once for each form (a Plan),
and an object of a known form costs a few C calls: reading an answer must stay cheaper than parsing it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
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
class Rest:
    """How the values are read that are not plain, each as key, name and reader; `unknown` keys are kept in `other`."""

    scalars: tuple[tuple[str, str, Callable[[Any], Any]], ...]
    objects: tuple[tuple[str, str, Read], ...]
    lists: tuple[tuple[str, str, Read], ...]
    converted: tuple[tuple[str, str, Convert], ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """How objects with one set of keys are read: `types` is what the plain values must be, or each is looked at."""

    keys: tuple[str, ...]
    names: tuple[str, ...]
    types: tuple[type, ...]
    pick: Callable[[Json], tuple[Any, ...]]
    rest: Rest | None


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
        values = plan.pick(source)
        if tuple(map(type, values)) == plan.types:
            found = dict(zip(plan.names, values))  # noqa: B905 - both follow the plan's keys; strict takes time
        else:
            found = _look_at_each(plan, values, context, at)
        if plan.rest is not None:
            _read_rest(plan.rest, source, found, context, at)
        return found

    def _learn(self, keys: tuple[str, ...]) -> Plan:
        plain = [key for key in keys if key in self._plain]
        rest = Rest(
            scalars=_chosen(keys, self._scalars),
            objects=_chosen(keys, self._objects),
            lists=_chosen(keys, self._lists),
            converted=_chosen(keys, self._converted),
            unknown=tuple(key for key in keys if key not in self._known and not key.endswith("PingSuffix")),
        )
        plan = Plan(
            keys=tuple(plain),
            names=tuple(self._plain[key][0] for key in plain),
            types=tuple(self._plain[key][1] for key in plain),
            pick=_picker(plain),
            rest=rest if any((rest.scalars, rest.objects, rest.lists, rest.converted, rest.unknown)) else None,
        )
        if len(self._plans) >= _MAX_PLANS:
            self._plans.clear()
        self._plans[keys] = plan
        return plan


def _read_rest(rest: Rest, source: Json, found: Json, context: Context, at: At) -> None:
    for key, name, read in rest.scalars:
        value = read(source[key])
        if value is None:
            context.keep((at, key), source[key])
        else:
            found[name] = value
    for key, name, read_one in rest.objects:
        value = source[key]
        if type(value) is dict:
            found[name] = read_one(value, context, (at, key))
        else:
            context.keep((at, key), value)
    for key, name, read_one in rest.lists:
        items = read_list(source[key], read_one, context, (at, key))
        if items is not None:
            found[name] = items
    for key, name, convert in rest.converted:
        value = convert(source[key], context, (at, key))
        if value is None:
            context.keep((at, key), source[key])
        else:
            found[name] = value
    for key in rest.unknown:
        context.keep((at, key), source[key])


def _chosen(keys: tuple[str, ...], table: Mapping[str, tuple[str, T]]) -> tuple[tuple[str, str, T], ...]:
    return tuple((key, *table[key]) for key in keys if key in table)


def _picker(keys: list[str]) -> Callable[[Json], tuple[Any, ...]]:
    if len(keys) > 1:
        return itemgetter(*keys)
    return lambda source: tuple(source[key] for key in keys)


def _look_at_each(plan: Plan, values: tuple[Any, ...], context: Context, at: At) -> Json:
    found = {}
    for key, name, kind, value in zip(plan.keys, plan.names, plan.types, values, strict=True):
        taken = _as(kind, value)
        if taken is None:
            context.keep((at, key), value)
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
