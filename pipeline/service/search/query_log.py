"""The log of the searches made at this service and of their results, for related and trending searches."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pipeline.errors import OutputError, ServiceError
from pipeline.guards.private_files import private_database

log = logging.getLogger("pipeline.service")
KEPT_DAYS = 30
MAX_RELATED = 10
MAX_TRENDING = 12
# The first rows of a search that are logged as its results.
MAX_RESULTS = 10
_SCHEMA = """
CREATE TABLE IF NOT EXISTS searches (
    text TEXT NOT NULL, day TEXT NOT NULL, times INTEGER NOT NULL, PRIMARY KEY (text, day)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS found (
    id TEXT NOT NULL, text TEXT NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (id, text)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS found_text ON found (text, place);
"""


@contextmanager
def _log_errors() -> Iterator[None]:
    """Log what is wrong with the database instead of raising it."""
    try:
        yield
    except sqlite3.Error as exc:
        log.warning("the query log can't be used (%s); searches go on without it", exc)


class QueryLog:
    """Counts searches by day, in memory without a `path`; safe to share between threads.

    If the file can't be written or read any more, on a full disk for example, that is logged, and no request fails.
    """

    def __init__(
        self, path: Path | None = None, *, today: Callable[[], date] = lambda: datetime.now(UTC).date()
    ) -> None:
        self._today = today
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(private_database(path), check_same_thread=False, isolation_level=None)
            self._db.executescript(_SCHEMA)
            self._delete_old()
        except (sqlite3.Error, OutputError) as exc:
            raise ServiceError(f"{path}: the query log can't be opened ({exc})") from exc

    def record(self, text: str, ids: Sequence[str]) -> None:
        """Count a search and store the ids of its first rows; its words are compared without case."""
        text = _normal(text)
        results = [(each, text, place) for place, each in enumerate(ids[:MAX_RESULTS])]
        with self._lock, _log_errors(), self._db:
            self._db.execute("BEGIN")
            self._db.execute(
                "INSERT INTO searches VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1",
                (text, self._today().isoformat()),
            )
            self._db.execute("DELETE FROM found WHERE text = ?", (text,))
            self._db.executemany("INSERT OR IGNORE INTO found VALUES (?, ?, ?)", results)

    def related(self, ids: Sequence[str]) -> list[tuple[str, str]]:
        """Return the searches with one of these rows among their results, each with the id of its first row.

        The most frequent search is first.
        """
        marks = ",".join("?" * len(ids))
        query = (
            "SELECT s.text, f.id FROM (SELECT text, sum(times) AS total FROM searches WHERE text IN"  # noqa: S608 - only marks
            f" (SELECT text FROM found WHERE id IN ({marks})) GROUP BY text) s"
            " JOIN found f ON f.text = s.text AND f.place = 0 ORDER BY s.total DESC, s.text LIMIT ?"
        )
        return self._read(query, (*ids, MAX_RELATED))

    def similar(self, text: str) -> list[tuple[str, str]]:
        """Return the searches with at least half of this one's results, each with the id of its first row."""
        text = _normal(text)
        query = (
            "SELECT other.text, first.id FROM found own"
            " JOIN found other ON other.id = own.id AND other.text != own.text"
            " JOIN found first ON first.text = other.text AND first.place = 0 WHERE own.text = ? GROUP BY other.text"
            " HAVING count(*) * 2 >= (SELECT count(*) FROM found WHERE text = ?) ORDER BY count(*) DESC, 1 LIMIT ?"
        )
        return self._read(query, (text, text, MAX_RELATED))

    def trending(self) -> list[tuple[str, str]]:
        """Return the most frequent searches of the last days, each with the id of its first row."""
        query = (
            "SELECT s.text, f.id FROM (SELECT text, sum(times) AS total FROM searches WHERE day > ? GROUP BY text) s"
            " JOIN found f ON f.text = s.text AND f.place = 0 ORDER BY s.total DESC, s.text LIMIT ?"
        )
        return self._read(query, (self._oldest(), MAX_TRENDING))

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _read(self, query: str, values: tuple[object, ...]) -> list[tuple[str, str]]:
        rows: list[tuple[str, str]] = []
        with self._lock, _log_errors():
            rows += self._db.execute(query, values)
        return rows

    def _delete_old(self) -> None:
        self._db.execute("DELETE FROM searches WHERE day <= ?", (self._oldest(),))
        self._db.execute("DELETE FROM found WHERE text NOT IN (SELECT text FROM searches)")

    def _oldest(self) -> str:
        return (self._today() - timedelta(days=KEPT_DAYS)).isoformat()


def _normal(text: str) -> str:
    return " ".join(text.split()).casefold()
