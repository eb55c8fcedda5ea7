"""What alerts have to say, until it is said: messages that wait, and conditions that hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from pipeline.state.database import StateDatabase

_JUDGED = "judged changes"
_LAST_RECORD = "last record"


class Notice(NamedTuple):
    """A message that waits; `attempts` counts the runs that tried to send it by its `way`."""

    number: int
    alert: str
    way: str
    message: dict[str, Any]
    attempts: int


class Notices:
    """The messages of one job's alerts. Raises OutputError where the database can't be used."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    def judged(self) -> int:
        """Return up to which byte of changes.jsonl the changes were judged."""
        return self._database.number(_JUDGED)

    def last_record_at(self) -> int:
        """Return when a run last wrote a record, in Unix time, 0 where none is known."""
        return self._database.number(_LAST_RECORD)

    def note_record(self, at: int) -> None:
        """Keep that a run has written a record at a Unix time."""
        self._database.set_number(_LAST_RECORD, at)

    def raised(self) -> set[str]:
        """Return the alerts on the run whose condition held at the end of the last run."""
        with self._database.transaction() as writer:
            return {alert for (alert,) in writer.execute("SELECT alert FROM raised")}

    def add(self, messages: Iterable[tuple[str, str, dict[str, Any]]], *, judged: int, raised: Iterable[str]) -> None:
        """Commit messages (alert, way, text) with the place up to which changes were judged, and which alerts hold."""
        with self._database.transaction(synced=True) as writer:
            writer.executemany(
                "INSERT INTO notices (alert, way, message, attempts) VALUES (?, ?, ?, 0)",
                [(alert, way, orjson.dumps(message)) for alert, way, message in messages],
            )
            writer.execute("DELETE FROM raised")
            writer.executemany("INSERT INTO raised VALUES (?)", [(alert,) for alert in set(raised)])
            self._database.set_number(_JUDGED, judged)

    def waiting(self) -> list[Notice]:
        """Return the messages that wait, oldest first."""
        sql = "SELECT number, alert, way, message, attempts FROM notices ORDER BY number"
        with self._database.transaction() as writer:
            return [
                Notice(number, alert, way, orjson.loads(message), attempts)
                for number, alert, way, message, attempts in writer.execute(sql)
            ]

    def tried(self, number: int) -> None:
        """Count an attempt that failed."""
        with self._database.transaction(synced=True) as writer:
            writer.execute("UPDATE notices SET attempts = attempts + 1 WHERE number = ?", (number,))

    def drop(self, number: int) -> None:
        """Drop a message that was sent, or whose alert is no longer in the config."""
        with self._database.transaction(synced=True) as writer:
            writer.execute("DELETE FROM notices WHERE number = ?", (number,))
