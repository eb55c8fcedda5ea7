"""Read JSON objects by table: what is in the table lands under its record's name, all else is kept in `other`.

Objects of one kind come in few forms, so the work of sorting an object's keys is done once for each form (a Plan),
and an object of a known form costs a few C calls: reading an answer must stay cheaper than parsing it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from pipeline.records import Crop
from pipeline.schema import Origin, Other

# Where a value stands in the answer: the place of what holds it, and its own key or index; None is the answer itself.
At = tuple[Any, str | int] | None
Json = dict[str, Any]

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
            self.other.append({"where": path_text(at), "value": value})


# Reads one value; None means that it can't be read, and keeps it in `other`.
Convert = Callable[[Any, Context, At], Any]


def path_text(at: At) -> str:
    """Write a place as text, such as tags[0].actions[2].data."""
    parts: list[str] = []
    while at is not None:
        at, key = at
        parts.append(f"[{key}]" if isinstance(key, int) else f".{key}")
    return "".join(reversed(parts)).removeprefix(".")


@dataclass(frozen=True, slots=True)
class Plan:
    """How objects with one set of keys are read: `types` is what the plain values must be, or each is looked at."""

    keys: tuple[str, ...]
    names: tuple[str, ...]
    types: tuple[type, ...]
    pick: Callable[[Json], tuple[Any, ...]]
    converted: tuple[tuple[str, str, Convert], ...]
    unknown: tuple[str, ...]


class Shape:
    """One kind of JSON object: `plain` values are taken verbatim if they have the type, others are converted.

    Both tables map a key of the answer to its name in the record. `dropped` keys are left out on purpose, and so are
    ping suffixes and type hints.
    """

    def __init__(
        self,
        plain: Mapping[str, tuple[str, type]],
        converted: Mapping[str, tuple[str, Convert]] | None = None,
        dropped: Iterable[str] = (),
    ) -> None:
        self._plain = plain
        self._converted = converted or {}
        self._dropped = frozenset({"_type", "@type", *dropped})
        self._plans: dict[tuple[str, ...], Plan] = {}

    def read(self, source: Json, context: Context, at: At) -> Json:
        """Return the record's form of one object; what can't be read is kept in `other`."""
        keys = tuple(source)
        plan = self._plans.get(keys) or self._learn(keys)
        values = plan.pick(source)
        if tuple(map(type, values)) == plan.types:
            found = dict(zip(plan.names, values, strict=True))
        else:
            found = _look_at_each(plan, values, context, at)
        for key, name, convert in plan.converted:
            place = (at, key)
            value = convert(source[key], context, place)
            if value is None:
                context.keep(place, source[key])
            else:
                found[name] = value
        for key in plan.unknown:
            context.keep((at, key), source[key])
        return found

    def _learn(self, keys: tuple[str, ...]) -> Plan:
        plain = [key for key in keys if key in self._plain]
        rest = [key for key in keys if key not in self._plain and not self._is_dropped(key)]
        plan = Plan(
            keys=tuple(plain),
            names=tuple(self._plain[key][0] for key in plain),
            types=tuple(self._plain[key][1] for key in plain),
            pick=_picker(plain),
            converted=tuple((key, *self._converted[key]) for key in rest if key in self._converted),
            unknown=tuple(key for key in rest if key not in self._converted),
        )
        if len(self._plans) >= _MAX_PLANS:
            self._plans.clear()
        self._plans[keys] = plan
        return plan

    def _is_dropped(self, key: str) -> bool:
        return key in self._dropped or key.endswith("PingSuffix")


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


def nested(shape: Shape) -> Convert:
    """Read a value that is an object of `shape`."""

    def convert(value: Any, context: Context, at: At) -> Json | None:
        return shape.read(value, context, at) if type(value) is dict else None

    return convert


def listed(read: Callable[[Json, Context, At], Any]) -> Convert:
    """Read a value that is a list of objects; whatever is no object is kept in `other`."""

    def convert(value: Any, context: Context, at: At) -> list[Any] | None:
        if type(value) is not list:
            return None
        found = []
        for index, item in enumerate(value):
            if type(item) is dict:
                found.append(read(item, context, (at, index)))
            else:
                context.keep((at, index), item)
        return found

    return convert


def scalar(read: Callable[[Any], Any]) -> Convert:
    """Read a value that needs neither its place nor anything around it."""

    def convert(value: Any, context: Context, at: At) -> Any:
        return read(value)

    return convert
