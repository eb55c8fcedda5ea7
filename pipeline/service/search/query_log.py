"""The service's own query log: what was searched here and what it found, for related and trending searches."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pipeline.errors import ServiceError

log = logging.getLogger("pipeline.service")
KEPT_DAYS = 30
MOST_RELATED = 10
MOST_TRENDING = 12
# So many of a search's first rows count as found by it.
FOUND_BY = 10
_SCHEMA = """
CREATE TABLE IF NOT EXISTS searches (
    text TEXT NOT NULL, day TEXT NOT NULL, times INTEGER NOT NULL, PRIMARY KEY (text, day)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS found (
    id TEXT NOT NULL, text TEXT NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (id, text)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS found_text ON found (text, place);
"""


@contextmanager
def _unless_broken() -> Iterator[None]:
    """Say what is wrong with the database, and leave it at that."""
    try:
        yield
    except sqlite3.Error as exc:
        log.warning("the query log can't be used (%s); searches go on without it", exc)


class QueryLog:
    """Counts searches by day; safe to share between threads. Without a `path` it lives as long as the service.

    A file that can't be written or read any more, on a full disk perhaps, is said in the log, and costs no answer.
    """

    def __init__(
        self, path: Path | None = None, *, today: Callable[[], date] = lambda: datetime.now(UTC).date()
    ) -> None:
        self._today = today
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
            self._db.executescript(_SCHEMA)
            self._forget()
        except sqlite3.Error as exc:
            raise ServiceError(f"{path}: the query log can't be opened ({exc})") from exc

    def record(self, text: str, ids: Sequence[str]) -> None:
        """Count one search that found rows; the words are compared without case."""
        text = " ".join(text.split()).casefold()
        places = [(each, text, place) for place, each in enumerate(ids[:FOUND_BY])]
        with self._lock, _unless_broken(), self._db:
            self._db.execute("BEGIN")
            self._db.execute(
                "INSERT INTO searches VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1",
                (text, self._today().isoformat()),
            )
            self._db.execute("DELETE FROM found WHERE text = ?", (text,))
            self._db.executemany("INSERT OR IGNORE INTO found VALUES (?, ?, ?)", places)

    def related(self, ids: Sequence[str]) -> tuple[str, ...]:
        """Return the searches that found one of these rows, the most frequent first."""
        marks = ",".join("?" * len(ids))
        query = (
            "SELECT text, sum(times) AS total FROM searches WHERE text IN"  # noqa: S608 - only marks
            f" (SELECT text FROM found WHERE id IN ({marks})) GROUP BY text ORDER BY total DESC, text LIMIT ?"
        )
        return tuple(text for text, _ in self._read(query, (*ids, MOST_RELATED)))

    def trending(self) -> list[tuple[str, str]]:
        """Return the most frequent searches of the last days, each with the id of the first row it found."""
        query = (
            "SELECT s.text, f.id FROM (SELECT text, sum(times) AS total FROM searches WHERE day > ? GROUP BY text) s"
            " JOIN found f ON f.text = s.text AND f.place = 0 ORDER BY s.total DESC, s.text LIMIT ?"
        )
        return self._read(query, (self._oldest(), MOST_TRENDING))

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _read(self, query: str, values: tuple[object, ...]) -> list[tuple[str, str]]:
        rows: list[tuple[str, str]] = []
        with self._lock, _unless_broken():
            rows += self._db.execute(query, values)
        return rows

    def _forget(self) -> None:
        self._db.execute("DELETE FROM searches WHERE day <= ?", (self._oldest(),))
        self._db.execute("DELETE FROM found WHERE text NOT IN (SELECT text FROM searches)")

    def _oldest(self) -> str:
        return (self._today() - timedelta(days=KEPT_DAYS)).isoformat()
