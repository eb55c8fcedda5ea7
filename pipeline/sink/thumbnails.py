"""The thumbnails of a job's pictures, for its report: a cache of the latest ones, which may be deleted at any time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from pipeline.errors import OutputError
from pipeline.guards.private_files import private_database, remove

THUMBNAILS = "thumbnails.db"
LONGEST_PX = 160
_MOST_KEPT = 20_000  # about 40 MB; a report shows the last 4,000 at most
_TABLE = """
CREATE TABLE IF NOT EXISTS thumbnails (
    number INTEGER PRIMARY KEY AUTOINCREMENT, -- the latest has the highest
    row_key BLOB NOT NULL UNIQUE,
    webp BLOB NOT NULL
)
"""
_PUT = "INSERT OR REPLACE INTO thumbnails (row_key, webp) VALUES (?, ?)"
_DROP = "DELETE FROM thumbnails WHERE number <= (SELECT max(number) FROM thumbnails) - ?"


class Thumbnails:
    """The thumbnails in a folder, by row key. They are no part of the job: a fault of this file is no fault of a run.

    A file that can't be read any more is removed, and made again by later runs.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / THUMBNAILS

    def put(self, thumbnails: Mapping[bytes, bytes]) -> None:
        """Keep thumbnails, in place of older ones of the same rows and of the oldest ones."""
        if not thumbnails:
            return
        with _forgiven(self._path), closing(self._connect()) as connection, connection:
            connection.execute(_TABLE)
            connection.executemany(_PUT, thumbnails.items())
            connection.execute(_DROP, (_MOST_KEPT,))

    def get(self, row_keys: Iterable[bytes], most_bytes: int) -> dict[bytes, bytes]:
        """Return the thumbnails of rows, the first ones first, as long as they have `most_bytes` together."""
        chosen: dict[bytes, bytes] = {}
        if not self._path.exists():
            return chosen
        with _forgiven(self._path), closing(self._connect()) as connection:
            for row_key in row_keys:
                row = connection.execute("SELECT webp FROM thumbnails WHERE row_key = ?", (row_key,)).fetchone()
                if row and row_key not in chosen:
                    most_bytes -= len(row[0])
                    if most_bytes < 0:
                        break
                    chosen[row_key] = row[0]
        return chosen

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(private_database(self._path), timeout=5)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection


@contextmanager
def _forgiven(path: Path) -> Iterator[None]:
    """Let go of what is wrong with the file, and remove one that is no database any more."""
    try:
        yield
    except sqlite3.OperationalError:  # locked, or the disk is full: another time
        return
    except (sqlite3.DatabaseError, OSError, OutputError):
        for beside in ("", "-wal", "-shm"):
            remove(path.with_name(path.name + beside))
