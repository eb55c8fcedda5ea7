"""Limits the queries per month of one account; the counts are on disk, so that a restart or a crash resets nothing."""

from __future__ import annotations

import math
import sqlite3
from datetime import datetime
from pathlib import Path

from pipeline.errors import OutputError, ServiceError
from pipeline.guards.private_files import private_database

# In WAL mode a charge is one write without a sync (NORMAL), 25 us; it survives the process, however that dies.
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
LOCK_TIMEOUT = 1.0


class UsageStore:
    """Counts queries by account and month; several processes may share the file. In memory without a `path`.

    An account is the digest of its key: no key is stored.
    """

    def __init__(self, path: Path | None = None) -> None:
        try:
            self._db = sqlite3.connect(
                private_database(path), timeout=LOCK_TIMEOUT, check_same_thread=False, isolation_level=None
            )
            self._db.executescript(_SCHEMA)
        except (sqlite3.Error, OutputError) as exc:
            raise ServiceError(f"{path}: the file of the monthly quotas can't be opened ({exc})") from exc

    def charge(self, account: bytes, month: str, limit: int) -> bool:
        """Count one query of a month ("2026-11") and return True, or return False if `limit` is reached."""
        return limit > 0 and self._db.execute(_CHARGE, (account, month, limit)).rowcount == 1

    def close(self) -> None:
        """Close the database."""
        self._db.close()


class MonthlyQuota:
    """Counts the queries of one account in the current month (UTC)."""

    def __init__(self, limit: int, store: UsageStore, account: bytes) -> None:
        self._limit = limit
        self._store = store
        self._account = account

    def admit(self, now: datetime) -> int:
        """Count a query and return 0, or return the seconds until the next month."""
        if self._store.charge(self._account, f"{now:%Y-%m}", self._limit):
            return 0
        return math.ceil((_next_month(now) - now).total_seconds())


def _next_month(now: datetime) -> datetime:
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return first.replace(year=first.year + 1, month=1) if first.month == 12 else first.replace(month=first.month + 1)
