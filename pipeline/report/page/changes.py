"""What the last run that changed anything has changed, as the page shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from pipeline.changes.change import Change
from pipeline.sink.changes_file import read_changes
from pipeline.sink.job_files import CHANGES

_MOST_SHOWN = 2000
_MOST_CHARS = 400  # of a value


@dataclass(slots=True, kw_only=True)
class LastChanges:
    """The changes of one run: counted by name, and `shown` as far as they go into the page."""

    run: int = 0
    at: str = ""
    kinds: Counter[str] = field(default_factory=Counter)
    shown: list[Change] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many there are."""
        return self.kinds.total()

    def as_json(self) -> Sequence[dict[str, Any]]:
        """Return what the page holds of those that are shown."""
        return [_as_json(change) for change in self.shown]


def last_changes(folder: Path) -> LastChanges:
    """Return the changes of the last run in changes.jsonl; raises OutputError where the file can't be read."""
    last = LastChanges()
    for change in read_changes(folder / CHANGES):
        if change.run != last.run:
            last = LastChanges(run=change.run, at=change.at)
        last.kinds[change.name] += 1
        if len(last.shown) < _MOST_SHOWN:
            last.shown.append(change)
    return last


def _as_json(change: Change) -> dict[str, Any]:
    difference = change.difference
    return {
        "id": change.id,
        "name": change.name,
        "item": difference.item,
        "before": _short(difference.before),
        "after": _short(difference.after),
        "currency": difference.currency,
    }


def _short(value: object) -> object:
    """Return a value as the page shows it: numbers as they are, anything else as text."""
    if value is None or isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _MOST_CHARS else text[: _MOST_CHARS - 1] + "…"
