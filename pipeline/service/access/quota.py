"""What each key has used of its month, on disk: a restart, or a crash, gives nothing back."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from pipeline.errors import ServiceError

# In WAL mode a charge is one write without a sync (NORMAL), 25 us: it outlives the process, however that dies.
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS used (
    account BLOB NOT NULL, month TEXT NOT NULL, queries INTEGER NOT NULL, PRIMARY KEY (account, month)) WITHOUT ROWID;
"""
_CHARGE = """
INSERT INTO used VALUES (?1, ?2, 1)
ON CONFLICT DO UPDATE SET queries = queries + 1 WHERE queries < ?3
"""
WAIT = 1.0


class QuotaBook:
    """Counts queries by account and month; processes may share the file. Without a `path` it lives in memory.

    An account is the digest of its key: no key is written down.
    """

    def __init__(self, path: Path | None = None) -> None:
        try:
            self._db = sqlite3.connect(path or ":memory:", timeout=WAIT, check_same_thread=False, isolation_level=None)
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as exc:
            raise ServiceError(f"{path}: the book of quotas can't be opened ({exc})") from exc

    def charge(self, account: bytes, month: str, most: int) -> bool:
        """Count one query of a month ("2026-11") unless `most` are counted already; tell whether it was."""
        return most > 0 and self._db.execute(_CHARGE, (account, month, most)).rowcount == 1

    def close(self) -> None:
        """Close the database."""
        self._db.close()
