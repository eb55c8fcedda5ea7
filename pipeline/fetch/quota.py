"""The quota ledger: every call and its cost are counted, on disk, before it is sent; shared by all jobs of this user.

A call of which no byte has left is taken back: whatever kills the run, the count may be too high, never too low.
Counts are kept per key (its hash), endpoint and UTC day; a month is the sum of its days, as the services bill it. What
a job has cost in all is kept beside them.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from platformdirs import user_state_path

from pipeline.errors import OutputError, QuotaUsedUp
from pipeline.fetch.learned_usage import TABLE, LearnedUsage, add_usage, learned_usage
from pipeline.guards.private_files import make_private_folder, private_database
from pipeline.records import Usage

ROUNDING: Final = 1e-9  # sums of prices are not exact
# Step N brings the file from layout N to N + 1 (PRAGMA user_version); the first one also meets files without a number.
_STEPS: Final = (
    """
    CREATE TABLE IF NOT EXISTS calls (
        account TEXT NOT NULL, day TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (account, day)
    ) WITHOUT ROWID
    """,
    "ALTER TABLE calls ADD COLUMN cost REAL NOT NULL DEFAULT 0",
    "CREATE TABLE jobs (job TEXT PRIMARY KEY, cost REAL NOT NULL) WITHOUT ROWID",
    TABLE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaLimits:
    """How many calls may be made, and what they may cost; 0 means no cap."""

    per_run: int = 0
    per_day: int = 0
    per_month: int = 0
    cost_per_day: float = 0.0
    cost_per_month: float = 0.0
    cost_in_all: float = 0.0

    @property
    def lasting(self) -> str | None:
        """The setting of a cap that holds for longer than a run, and needs a count that lasts; None without one."""
        caps = {
            "calls_per_day": self.per_day,
            "calls_per_month": self.per_month,
            "cost_per_day": self.cost_per_day,
            "cost_per_month": self.cost_per_month,
            "cost_in_all": self.cost_in_all,
        }
        return next((f"limits.{name}" for name, cap in caps.items() if cap), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What was spent today and this month (UTC) with a key, and in all by a job."""

    today: float = 0.0
    month: float = 0.0
    in_all: float = 0.0


def state_folder() -> Path:
    """Return where what all jobs of this user share is kept: counts of calls, paces, client ids."""
    return user_state_path("image-insights-pipeline", appauthor=False)


def account(key: str, endpoint: str) -> str:
    """Return the name a key is known by at an endpoint; the key can't be read from it."""
    return sha256(f"{key}\n{endpoint}".encode()).hexdigest()[:32]


class Quota:
    """Counts calls and their cost in the database at `path`; `clock` gives the time, aware of its zone.

    `name` is the account, `job` what `cost_in_all` is counted for. `calls` are those of this run. Where `path` can't be
    written, and no cap needs a count that lasts, this run is counted in memory.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        limits: QuotaLimits,
        *,
        job: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = path
        self._name = name
        self._job = job
        self._limits = limits
        self._clock = clock
        self._corrections: deque[tuple[str, float]] = deque()
        self._learned: deque[tuple[str, Usage]] = deque()
        self.calls = 0
        try:
            make_private_folder(path.parent)
            self._db = _opened(path)
        except (sqlite3.Error, OSError, OutputError) as exc:
            if limits.lasting is not None:
                raise _unusable(path, exc, f"{limits.lasting} needs it; ") from exc
            self._db = _opened(None)

    def close(self) -> None:
        """Close the database; a correction that can't be written any more is lost, which leaves the estimate."""
        with closing(self._db), suppress(sqlite3.Error):
            self._correct()

    def charge(self, cost: float = 0.0) -> str:
        """Count one call that is about to be sent, and return its day; raises QuotaUsedUp where a cap is reached."""
        now = self._clock().astimezone(UTC)
        if self._limits.per_run and self.calls >= self._limits.per_run:
            said = f"limits.calls_per_run = {self._limits.per_run} is reached; the next run goes on"
            raise QuotaUsedUp(said, resume_after=next_day(now))
        day = f"{now:%Y-%m-%d}"
        try:
            with _transaction(self._db):
                self._correct()
                self._check(now)
                self._check_cost(now, cost)
                self._add(day, 1, cost)
        except sqlite3.Error as exc:
            raise _unusable(self._path, exc) from exc
        self.calls += 1
        return day

    def refund(self, day: str, cost: float = 0.0) -> None:
        """Take back a call charged on `day` that was never sent."""
        try:
            with _transaction(self._db):
                self._add(day, -1, -cost)
        except sqlite3.Error as exc:
            raise _unusable(self._path, exc) from exc
        self.calls -= 1

    def correct(self, day: str, cost: float) -> None:
        """Add to the cost of a call charged on `day` what it cost beyond its estimate; written with the next charge."""
        self._corrections.append((day, cost))

    def learn(self, settings: str, usage: Usage) -> None:
        """Add what a call with these settings used to what is known of such calls; written with the next charge."""
        self._learned.append((settings, usage))

    def learned(self, settings: str) -> LearnedUsage | None:
        """Return the mean of what calls with these settings used; None where there were none."""
        try:
            return learned_usage(self._db, settings)
        except sqlite3.Error as exc:
            raise _unusable(self._path, exc) from exc

    def used(self) -> tuple[int, int]:
        """Return the calls counted today and this month (UTC)."""
        now = self._clock().astimezone(UTC)
        try:
            return self._count(f"{now:%Y-%m-%d}"), self._count(f"{now:%Y-%m}-%")
        except sqlite3.Error as exc:
            raise _unusable(self._path, exc) from exc

    def spent(self) -> Spent:
        """Return what was spent today, this month and by the job in all."""
        now = self._clock().astimezone(UTC)
        try:
            self._correct()
            return Spent(
                today=self._cost(f"{now:%Y-%m-%d}"), month=self._cost(f"{now:%Y-%m}-%"), in_all=self._cost_of_job()
            )
        except sqlite3.Error as exc:
            raise _unusable(self._path, exc) from exc

    def _check(self, now: datetime) -> None:
        if self._limits.per_day and self._count(f"{now:%Y-%m-%d}") >= self._limits.per_day:
            said = f"limits.calls_per_day = {self._limits.per_day} is used up"
            raise QuotaUsedUp(said, resume_after=next_day(now))
        if self._limits.per_month and self._count(f"{now:%Y-%m}-%") >= self._limits.per_month:
            said = f"limits.calls_per_month = {self._limits.per_month} is used up"
            raise QuotaUsedUp(said, resume_after=_next_month(now))

    def _check_cost(self, now: datetime, cost: float) -> None:
        limits = self._limits
        if _exceeds(limits.cost_per_day, lambda: self._cost(f"{now:%Y-%m-%d}"), cost):
            said = f"limits.cost_per_day = {limits.cost_per_day:g} is used up"
            raise QuotaUsedUp(said, resume_after=next_day(now))
        if _exceeds(limits.cost_per_month, lambda: self._cost(f"{now:%Y-%m}-%"), cost):
            said = f"limits.cost_per_month = {limits.cost_per_month:g} is used up"
            raise QuotaUsedUp(said, resume_after=_next_month(now))
        if _exceeds(limits.cost_in_all, self._cost_of_job, cost):
            raise QuotaUsedUp(f"limits.cost_in_all = {limits.cost_in_all:g} is used up; raise it to go on")

    def _add(self, day: str, calls: int, cost: float) -> None:
        self._db.execute(
            "INSERT INTO calls VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET count = count + excluded.count, cost = cost + excluded.cost",
            (self._name, day, calls, cost),
        )
        if cost and self._job:
            self._db.execute(
                "INSERT INTO jobs VALUES (?, ?) ON CONFLICT DO UPDATE SET cost = cost + excluded.cost",
                (self._job, cost),
            )

    def _correct(self) -> None:
        while self._corrections:
            day, cost = self._corrections.popleft()
            self._add(day, 0, cost)
        while self._learned:
            add_usage(self._db, *self._learned.popleft())

    def _count(self, days: str) -> int:
        sql = "SELECT coalesce(sum(count), 0) FROM calls WHERE account = ? AND day LIKE ?"
        return int(self._db.execute(sql, (self._name, days)).fetchone()[0])

    def _cost(self, days: str) -> float:
        sql = "SELECT coalesce(sum(cost), 0) FROM calls WHERE account = ? AND day LIKE ?"
        return float(self._db.execute(sql, (self._name, days)).fetchone()[0])

    def _cost_of_job(self) -> float:
        row = self._db.execute("SELECT cost FROM jobs WHERE job = ?", (self._job,)).fetchone()
        return float(row[0]) if row else 0.0


def next_day(now: datetime) -> datetime:
    """Return when the UTC day after `now` begins."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _next_month(now: datetime) -> datetime:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return (today.replace(day=1) + timedelta(days=32)).replace(day=1)


def _exceeds(cap: float, spent: Callable[[], float], cost: float) -> bool:
    return bool(cap and cost and spent() + cost > cap * (1 + ROUNDING))


def _opened(path: Path | None) -> sqlite3.Connection:
    """Open the database (in memory without a path), and bring it to the current layout in one transaction."""
    database = sqlite3.connect(private_database(path), timeout=30, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        with _transaction(database):
            (layout,) = database.execute("PRAGMA user_version").fetchone()
            for step in _STEPS[layout:]:
                database.execute(step)
            if layout < len(_STEPS):
                database.execute(f"PRAGMA user_version = {len(_STEPS)}")
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _unusable(path: Path, exc: Exception, why: str = "") -> OutputError:
    return OutputError(
        f"the count of calls in {path} can't be kept ({exc}), so no call is made; {why}solve this and run again"
    )
