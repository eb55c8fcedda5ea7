"""Reads what the last run changed from changes.jsonl, as far as it is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

CHANGES = "changes.jsonl"
_MOST_SHOWN = 2000
_MOST_CHARS = 400  # of a value


@dataclass(frozen=True, slots=True, kw_only=True)
class LastChanges:
    """The changes of the last run that changed anything: `total` of them, of which `shown` go into the page.

    `kinds` counts them by kind, or by field where a field has changed.
    """

    at: str = ""
    total: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    shown: Sequence[dict[str, Any]] = ()


def last_changes(folder: Path) -> LastChanges:
    """Return the changes of the last run in the file; nothing where there is no file, or it can't be read."""
    run: object = None
    at, kinds = "", Counter[str]()
    shown: list[dict[str, Any]] = []
    for change in _changes(folder / CHANGES):
        if change.get("run") != run:
            run, at, kinds, shown = change.get("run"), str(change.get("at", "")), Counter(), []
        kinds[str(change.get("field") or change.get("kind"))] += 1
        if len(shown) < _MOST_SHOWN:
            shown.append(_shortened(change))
    return LastChanges(at=at, total=kinds.total(), kinds=kinds, shown=shown)


def _changes(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            for line in file:
                change = orjson.loads(line)
                if isinstance(change, dict):
                    yield change
    except (OSError, orjson.JSONDecodeError):  # a line that is being written ends it
        return


def _shortened(change: dict[str, Any]) -> dict[str, Any]:
    values = {name: _short(change.get(name)) for name in ("before", "after")}
    return {name: change.get(name) for name in ("id", "kind", "field")} | values


def _short(value: object) -> object:
    """Return a value as the page shows it: numbers as they are, anything else as text."""
    if value is None or isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _MOST_CHARS else text[: _MOST_CHARS - 1] + "…"
