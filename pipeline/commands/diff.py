"""Say what has changed in a job since a run or a date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.changes.change import Change
from pipeline.changes.net import count_changes, net_changes
from pipeline.changes.render import changes_as_html, changes_as_text
from pipeline.errors import UsageError
from pipeline.sink.changes_file import read_changes
from pipeline.sink.job_files import CHANGES, must_exist, read_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """What has changed `since` a run or a date; several changes of one value are joined."""

    since: str
    changes: list[Change]

    def text(self) -> str:
        """Return the changes as lines for a reader."""
        return changes_as_text(self.changes, self.since)

    def html(self) -> str:
        """Return the changes as one page."""
        return changes_as_html(self.changes, self.since)

    def as_json(self) -> dict[str, Any]:
        """Return the changes as JSON, with their counts by field."""
        return {
            "schema": "1",
            "since": self.since,
            "counts": count_changes(self.changes),
            "changes": [change.as_json() for change in self.changes],
        }


def diff(folder: Path, since: str = "") -> Diff:
    """Return what has changed in the job in `folder`: in its last run, after the run `since`, or from that date on.

    A date such as 2026-11-28, or a date and time, is local. Raises UsageError where it is neither, and OutputError.
    """
    must_exist(folder)
    with read_state(folder) as state:
        last = state.history.run()
    name, is_wanted = _filter(since, last)
    return Diff(since=name, changes=net_changes(filter(is_wanted, read_changes(folder / CHANGES))))


def _filter(since: str, last: int) -> tuple[str, Callable[[Change], bool]]:
    """Return what is meant by `since` in words, and whether a change is wanted."""
    if not since:
        return f"run {max(0, last - 1)}", lambda change: change.run == last
    if since.isascii() and since.isdigit():
        return f"run {int(since)}", lambda change: change.run > int(since)
    try:
        start = datetime.fromisoformat(since).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError) as exc:
        raise UsageError(f"--since: {since!r} is neither a date such as 2026-11-28 nor the number of a run") from exc
    return since, lambda change: change.at >= start
