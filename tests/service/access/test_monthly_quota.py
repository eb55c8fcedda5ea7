"""The monthly quota is counted by calendar month, and the counts survive the process."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.errors import ServiceError
from pipeline.service.access.monthly_quota import MonthlyQuota, UsageStore


def test_the_quota_starts_again_each_month() -> None:
    """A used-up quota lasts until the first of the next month, also at the end of the year."""
    quota, now = MonthlyQuota(2, UsageStore(), b""), datetime(2026, 12, 31, 23, 59, 0, tzinfo=UTC)
    assert [quota.admit(now) for _ in range(3)] == [0, 0, 60]
    assert quota.admit(now + timedelta(minutes=1)) == 0
    november = datetime(2026, 11, 30, tzinfo=UTC)
    other = MonthlyQuota(0, UsageStore(), b"")
    assert other.admit(november) == 86400


def test_a_restart_resets_nothing(tmp_path: Path) -> None:
    """The next process continues with the counts of the file."""
    now = datetime(2026, 11, 1, tzinfo=UTC)
    store = UsageStore(tmp_path / "quota.db")
    assert MonthlyQuota(1, store, b"account").admit(now) == 0
    store.close()
    store = UsageStore(tmp_path / "quota.db")
    assert MonthlyQuota(1, store, b"account").admit(now) > 0
    assert MonthlyQuota(1, store, b"other").admit(now) == 0
    store.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """The error has the path of the file."""
    (tmp_path / "quota.db").write_bytes(b"not a database " * 100)
    with pytest.raises(ServiceError, match=r"quota\.db: the file of the monthly quotas can't be opened"):
        UsageStore(tmp_path / "quota.db")
