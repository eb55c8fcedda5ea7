"""Keeps uploaded pictures for a day, so that later requests can name them by their tokens, after a restart too."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import OutputError, ServiceError
from pipeline.guards.private_files import private_database

KEPT_SECONDS = 86_400.0
MAX_BYTES = 64 * 1024 * 1024
MAX_PICTURES = 5_000
LOCK_TIMEOUT = 1.0
log = logging.getLogger("pipeline.service")
# The index has all that is read to find what to drop, so that no picture is read for it.
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS uploads (
    token TEXT PRIMARY KEY, at REAL NOT NULL, bytes INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS uploads_at ON uploads (at, bytes);
"""
_ADD = """
INSERT INTO uploads (token, at, bytes, data) VALUES (?, ?, ?, ?) ON CONFLICT (token) DO UPDATE SET at = excluded.at
"""
_DELETE_EXPIRED = "DELETE FROM uploads WHERE at <= ?"
_IS_FULL = "SELECT total(bytes) > ? OR count(*) > ? FROM uploads"
_DELETE_OLDEST = "DELETE FROM uploads WHERE rowid = (SELECT rowid FROM uploads ORDER BY at LIMIT 1)"


class UploadStore:
    """The last uploads, at most `max_bytes` and `max_pictures` of them; the oldest are dropped first.

    In one SQLite file, or in memory without a `path`; safe to share between threads and processes. `clock` returns
    seconds since the epoch, which a restart keeps. Raises ServiceError if the file can't be used.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        max_pictures: int = MAX_PICTURES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._limits = max_bytes, max_pictures
        self._clock = clock
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(
                private_database(path), timeout=LOCK_TIMEOUT, check_same_thread=False, isolation_level=None
            )
            self._db.executescript(_SCHEMA)
            self._drop()
        except (sqlite3.Error, OutputError) as exc:
            raise ServiceError(f"{path}: uploads can't be kept there ({exc}); delete the file") from exc

    def add(self, data: bytes, digest: str) -> str:
        """Keep a picture of this SHA-256 and return its token, which depends on its content only."""
        token = f"bcid_{digest[:32].upper()}"
        try:
            with self._lock:
                self._db.execute(_ADD, (token, self._clock(), len(data), data))
                self._drop()
        except sqlite3.Error as exc:  # a full disk, for example: the request is answered, only its token is unknown
            log.warning("an upload can't be kept: %s", exc)
        return token

    def get(self, token: str) -> bytes | None:
        """Return the picture of a token; None if it is not kept, or the file can't be read."""
        query = "SELECT data FROM uploads WHERE token = ? AND at > ?"
        try:
            with self._lock:
                row = self._db.execute(query, (token, self._clock() - KEPT_SECONDS)).fetchone()
        except sqlite3.Error as exc:
            log.warning("an upload can't be read: %s", exc)
            return None
        return None if row is None else bytes(row[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _drop(self) -> None:
        """Drop what has expired, and the oldest uploads beyond the limits."""
        self._db.execute(_DELETE_EXPIRED, (self._clock() - KEPT_SECONDS,))
        while self._db.execute(_IS_FULL, self._limits).fetchone()[0]:
            self._db.execute(_DELETE_OLDEST)
