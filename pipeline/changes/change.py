"""A change: one line of changes.jsonl."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import orjson

Kind = Literal["added", "removed", "picture", "field"]
_ALWAYS = {"id", "at", "run", "kind", "before", "after"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What differs between two records of a row.

    `field` is the field of the record, such as "text" or "offers.price", `item` the item of its list: a page or an
    offer by its URL, a tag by its name. A new item has no `before`, one that is gone no `after`. `currency` is that of
    a price, or both, such as "EUR -> USD".
    """

    kind: Kind
    field: str = ""
    item: str = ""
    before: Any = None
    after: Any = None
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A difference of the row `id` that the run number `run` has found; `at` is UTC, as in 2026-01-31T23:59:59Z."""

    id: str
    at: str
    run: int
    difference: Difference

    @property
    def name(self) -> str:
        """What it is counted as: added, removed, picture, or the field."""
        return self.difference.field or self.difference.kind

    def as_json(self) -> dict[str, Any]:
        """Return the change as JSON; texts that it doesn't have are left out."""
        values = {name: getattr(self.difference, name) for name in Difference.__dataclass_fields__}
        held = {name: value for name, value in values.items() if value != "" or name in _ALWAYS}
        return {"id": self.id, "at": self.at, "run": self.run, **held}

    def encode(self) -> bytes:
        """Return the change as one line of JSON."""
        return orjson.dumps({"schema": "1", **self.as_json()}, option=orjson.OPT_APPEND_NEWLINE)


def decode(line: bytes) -> Change:
    """Return the change that a line holds; raises ValueError or KeyError for another line."""
    read = orjson.loads(line)
    values = {name: read[name] for name in Difference.__dataclass_fields__ if name in read}
    return Change(id=read["id"], at=read["at"], run=read["run"], difference=Difference(**values))
