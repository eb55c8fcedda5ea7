"""What an alert says: one message a run, with its changes, the values before and after, and the limit. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.alerts.conditions import limit_text
from pipeline.changes.change import Change
from pipeline.changes.render import describe, shown
from pipeline.config import AlertSettings
from pipeline.wording import counted

MOST_CHANGES = 100


@dataclass(slots=True)
class Hits:
    """The changes that an alert is about: how many, and the first MOST_CHANGES of them."""

    count: int = 0
    changes: list[Change] = field(default_factory=list)

    def add(self, change: Change) -> None:
        """Take a change."""
        self.count += 1
        if len(self.changes) < MOST_CHANGES:
            self.changes.append(change)


def change_message(alert: AlertSettings, hits: Hits, job: str, run: int) -> dict[str, Any]:
    """Return the message about changes; `text` is all of it in words."""
    limit = limit_text(alert.condition)
    lines = [_line(change, limit) for change in hits.changes]
    more = [f"and {hits.count - len(lines)} more"] if hits.count > len(lines) else []
    changes = [change.as_json() | ({"limit": alert.condition.limit} if limit else {}) for change in hits.changes]
    return _message(alert, job, run, hits.count, changes, [counted(hits.count, "change"), *lines, *more])


def run_message(alert: AlertSettings, text: str, job: str, run: int) -> dict[str, Any]:
    """Return the message about a run."""
    return _message(alert, job, run, 1, [], [text])


def test_message(alert: AlertSettings, job: str) -> dict[str, Any]:
    """Return a message that only tries the way."""
    return {**_message(alert, job, 0, 0, [], ["this is a test; nothing has changed"]), "test": True}


def _message(
    alert: AlertSettings, job: str, run: int, count: int, changes: Sequence[dict[str, Any]], lines: Sequence[str]
) -> dict[str, Any]:
    text = "\n".join([f"{shown(alert.title)} ({shown(job)})", *lines])
    return {
        "schema": "1",
        "alert": alert.title,
        "when": alert.when,
        "job": job,
        "run": run,
        "count": count,
        "changes": list(changes),
        "text": text,
    }


def _line(change: Change, limit: str) -> str:
    return f"{shown(change.id)}: {describe(change.difference)}" + (f", {limit}" if limit else "")
