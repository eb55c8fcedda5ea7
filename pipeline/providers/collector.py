"""What readers of answers share: the insights that they fill, and what of an answer has no field there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pipeline.schema import Insights, no_insights

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Collector:
    """The insights of one answer while it is read."""

    insights: Insights = field(default_factory=no_insights)

    def keep(self, where: str, value: Any) -> None:
        """Keep a value that has no field, unless it is empty."""
        if value not in (None, "", [], {}):
            self.insights["other"].append({"where": where, "value": value})

    def keep_columns(self, where: str, items: Iterable[Json]) -> None:
        """Keep what is left of the items of a list: for each name one list, null where an item lacks it."""
        rows = list(items)
        for name in dict.fromkeys(name for row in rows for name in row):
            self.insights["other"].append({"where": f"{where}[].{name}", "value": [row.get(name) for row in rows]})

    def objects(self, where: str, value: list[Any]) -> list[Json]:
        """Return the objects in a list as copies, from which readers take; anything else in it is kept."""
        self.keep(where, [item for item in value if type(item) is not dict])
        return [dict(item) for item in value if type(item) is dict]


def as_object(value: Any) -> Json:
    """Return an object of JSON, and an empty one for anything else."""
    return value if type(value) is dict else {}


def as_list(value: Any) -> list[Any]:
    """Return a list of JSON, and an empty one for anything else."""
    return value if type(value) is list else []


def take(source: Json, name: str, kind: type[T]) -> T | None:
    """Take a value of this type from an object; another one stays there."""
    value = source.get(name)
    if type(value) is not kind:
        return None
    del source[name]
    return value


def fields(**values: Any) -> Json:
    """Return the values that are known."""
    return {name: value for name, value in values.items() if value is not None}
