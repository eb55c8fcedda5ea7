"""The quota ledger: every call is counted, on disk, before it is sent; shared by all jobs of this user on this machine.

A call of which no byte has left is taken back: whatever kills the run, the count may be too high, never too low.
Counts are kept per key (its hash), endpoint and UTC day; a month is the sum of its days, as the services bill it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from platformdirs import user_state_path

from pipeline.errors import OutputError, QuotaUsedUp

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    account TEXT NOT NULL, day TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (account, day)
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaLimits:
    """How many calls may be made; 0 means no cap."""

    per_run: int = 0
    per_day: int = 0
    per_month: int = 0


def state_folder() -> Path:
    """Return where what all jobs of this user share is kept: counts of calls, paces, client ids."""
    return user_state_path("image-insights-pipeline", appauthor=False)


def account(key: str, endpoint: str) -> str:
    """Return the name a key is known by at an endpoint; the key can't be read from it."""
    return sha256(f"{key}\n{endpoint}".encode()).hexdigest()[:32]


class Quota:
    """Counts calls in the database at `path`; `clock` gives the time, aware of its zone.

    `calls` are those of this run.
    """

    def __init__(
        self, path: Path, name: str, limits: QuotaLimits, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._path = path
        self._name = name
        self._limits = limits
        self._clock = clock
        self.calls = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(_SCHEMA)
        except (sqlite3.Error, OSError) as exc:
            raise _unusable(path, exc) from exc

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def charge(self) -> str:
        """Count one call that is about to be sent, and return its day; raises QuotaUsedUp where a cap is reached."""
        now = self._clock().astimezone(UTC)
        if self._limits.per_run and self.calls >= self._limits.per_run:
            said = f"limits.calls_per_run = {self._limits.per_run} is reached; the next run goes on"
            raise QuotaUsedUp(said, resume_after=now)
        day = f"{now:%Y-%m-%d}"
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._check(now)
                self._db.execute(
                    "INSERT INTO calls VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1", (self._name, day)
                )
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as exc:
            raise _unusable(self._path, exc) from exc
        self.calls += 1
        return day

    def refund(self, day: str) -> None:
        """Take back a call charged on `day` that was never sent."""
        sql = "UPDATE calls SET count = count - 1 WHERE account = ? AND day = ?"
        try:
            self._db.execute(sql, (self._name, day))
        except sqlite3.Error as exc:
            raise _unusable(self._path, exc) from exc
        self.calls -= 1

    def used(self) -> tuple[int, int]:
        """Return the calls counted today and this month (UTC)."""
        now = self._clock().astimezone(UTC)
        try:
            return self._count(f"{now:%Y-%m-%d}"), self._count(f"{now:%Y-%m}-%")
        except sqlite3.Error as exc:
            raise _unusable(self._path, exc) from exc

    def _check(self, now: datetime) -> None:
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if self._limits.per_day and self._count(f"{now:%Y-%m-%d}") >= self._limits.per_day:
            said = f"limits.calls_per_day = {self._limits.per_day} is used up"
            raise QuotaUsedUp(said, resume_after=today + timedelta(days=1))
        if self._limits.per_month and self._count(f"{now:%Y-%m}-%") >= self._limits.per_month:
            next_month = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
            said = f"limits.calls_per_month = {self._limits.per_month} is used up"
            raise QuotaUsedUp(said, resume_after=next_month)

    def _count(self, days: str) -> int:
        sql = "SELECT coalesce(sum(count), 0) FROM calls WHERE account = ? AND day LIKE ?"
        return int(self._db.execute(sql, (self._name, days)).fetchone()[0])


def _unusable(path: Path, exc: Exception) -> OutputError:
    return OutputError(
        f"the count of calls in {path} can't be kept ({exc}), so no call is made; solve this and run again"
    )
