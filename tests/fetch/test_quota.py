"""Calls are counted before they are sent, by key and endpoint, over days, months, processes and restarts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from pipeline.errors import OutputError, QuotaUsedUp
from pipeline.fetch.learned_usage import LearnedUsage
from pipeline.fetch.quota import Quota, QuotaLimits, account
from pipeline.records import Usage


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def spend(quota: Quota) -> int:
    """Charge until the quota is used up, and return how often that went well."""
    for count in range(100):
        try:
            quota.charge()
        except QuotaUsedUp:
            return count
    return 100


def test_the_day_is_capped_and_the_next_one_is_free_again(tmp_path: Path, clock: Clock) -> None:
    """The cap names the start of the next UTC day as the time to go on."""
    with closing(Quota(tmp_path / "calls.db", "a", QuotaLimits(per_day=3), clock=clock)) as quota:
        assert spend(quota) == 3
        with pytest.raises(QuotaUsedUp, match="calls_per_day") as caught:
            quota.charge()
        assert caught.value.resume_after == datetime(2026, 2, 1, tzinfo=UTC)
        clock.now += timedelta(hours=12)
        assert spend(quota) == 3


def test_the_cap_that_ends_a_run_is_named_with_its_figure(tmp_path: Path, clock: Clock) -> None:
    """Which of the caps it was, and how much it allows."""
    limits = {
        "limits.calls_per_run = 1 is reached": QuotaLimits(per_run=1),
        "limits.calls_per_day = 1 is used up": QuotaLimits(per_day=1),
        "limits.calls_per_month = 1 is used up": QuotaLimits(per_month=1),
    }
    for name, (said, caps) in enumerate(limits.items()):
        with closing(Quota(tmp_path / "calls.db", str(name), caps, clock=clock)) as quota:
            quota.charge()
            with pytest.raises(QuotaUsedUp, match=said):
                quota.charge()


def test_the_month_is_the_sum_of_its_days(tmp_path: Path, clock: Clock) -> None:
    """Restarts don't reset it, the first of the next month does."""
    limits = QuotaLimits(per_month=5)
    clock.now = datetime(2026, 12, 30, 23, 30, tzinfo=UTC)
    with closing(Quota(tmp_path / "calls.db", "a", limits, clock=clock)) as quota:
        quota.charge()
        clock.now += timedelta(days=1)
        quota.charge()
        assert quota.used() == (1, 2)
    with closing(Quota(tmp_path / "calls.db", "a", limits, clock=clock)) as quota:
        assert spend(quota) == 3
        with pytest.raises(QuotaUsedUp) as caught:
            quota.charge()
        assert caught.value.resume_after == datetime(2027, 1, 1, tzinfo=UTC)
        clock.now += timedelta(hours=1)
        assert spend(quota) == 5


def test_days_are_utc_days(tmp_path: Path, clock: Clock) -> None:
    """Late evening in New York is the next day of the service."""
    clock.now = datetime(2026, 5, 1, 22, tzinfo=timezone(timedelta(hours=-4)))
    with closing(Quota(tmp_path / "calls.db", "a", QuotaLimits(), clock=clock)) as quota:
        quota.charge()
        clock.now = datetime(2026, 5, 2, 1, tzinfo=UTC)
        assert quota.used()[0] == 1


def test_two_processes_share_one_cap_and_two_keys_do_not(tmp_path: Path, clock: Clock) -> None:
    """What one of them spent the other one can't; another key has its own count."""
    path, limits = tmp_path / "calls.db", QuotaLimits(per_day=5)
    with closing(Quota(path, "a", limits, clock=clock)) as one, closing(Quota(path, "a", limits, clock=clock)) as two:
        one.charge()
        two.charge()
        assert spend(one) == 3
        assert spend(two) == 0
        with closing(Quota(path, "b", limits, clock=clock)) as other:
            assert spend(other) == 5


def test_what_was_never_sent_is_taken_back(tmp_path: Path, clock: Clock) -> None:
    """A refund gives the call back to the day it was charged to, and to the run."""
    with closing(Quota(tmp_path / "calls.db", "a", QuotaLimits(per_run=2, per_day=2), clock=clock)) as quota:
        first = quota.charge()
        clock.now += timedelta(days=1)
        quota.charge()
        quota.refund(first)
        assert (quota.calls, quota.used()) == (1, (1, 1))
        assert spend(quota) == 1


def test_a_run_is_capped_for_itself(tmp_path: Path, clock: Clock) -> None:
    """calls_per_run counts from zero in every run."""
    for _ in range(2):
        with closing(Quota(tmp_path / "calls.db", "a", QuotaLimits(per_run=4), clock=clock)) as quota:
            assert spend(quota) == 4


def test_a_count_that_can_not_be_kept_lets_no_call_out(tmp_path: Path, clock: Clock) -> None:
    """Calls that can't be counted are not made."""
    path = tmp_path / "calls.db"
    with closing(Quota(path, "a", QuotaLimits(), clock=clock)) as quota:
        with closing(sqlite3.connect(path)) as other:
            other.execute("DROP TABLE calls")
        with pytest.raises(OutputError, match="no call is made"):
            quota.charge()
        assert quota.calls == 0


def test_the_key_can_not_be_told_from_the_account() -> None:
    """The name of the account is a hash, different for each key and endpoint."""
    names = {account(key, place) for key in ("secret-1", "secret-2") for place in ("https://a", "https://b")}
    assert len(names) == 4
    assert not any("secret" in name for name in names)


@pytest.mark.parametrize(
    ("limits", "said", "resume"),
    [
        (QuotaLimits(cost_per_day=0.3), "cost_per_day = 0.3", datetime(2026, 2, 1, tzinfo=UTC)),
        (QuotaLimits(cost_per_month=0.3), "cost_per_month = 0.3", datetime(2026, 2, 1, tzinfo=UTC)),
        (QuotaLimits(cost_in_all=0.3), "cost_in_all = 0.3", None),
    ],
    ids=["day", "month", "job"],
)
def test_cost_is_capped_on_disk(
    tmp_path: Path, clock: Clock, limits: QuotaLimits, said: str, resume: datetime | None
) -> None:
    """Three calls at 0.1 are exactly 0.3, over restarts; the cap names when to go on, if ever."""
    for left in (2, 1):
        with closing(Quota(tmp_path / "calls.db", "a", limits, job="out", clock=clock)) as quota:
            for _ in range(left):
                quota.charge(0.1)
    with closing(Quota(tmp_path / "calls.db", "a", limits, job="out", clock=clock)) as quota:
        quota.charge(0.0)  # what costs nothing is never refused for its cost
        with pytest.raises(QuotaUsedUp, match=said) as caught:
            quota.charge(0.1)
        assert caught.value.resume_after == resume
        assert round(quota.spent().in_all, 9) == 0.3


def test_a_job_has_a_budget_of_its_own_and_a_key_one_a_day(tmp_path: Path, clock: Clock) -> None:
    """Another job with the same key spends the key's money, not the first job's."""
    limits = QuotaLimits(cost_per_day=5, cost_in_all=3)
    for job, spent in (("one", 3), ("two", 2)):
        with closing(Quota(tmp_path / "calls.db", "a", limits, job=job, clock=clock)) as quota:
            for _ in range(spent):
                quota.charge(1.0)
            with pytest.raises(QuotaUsedUp):
                quota.charge(1.0)


def test_what_a_call_really_cost_counts_for_the_next_one(tmp_path: Path, clock: Clock) -> None:
    """A correction is written with the next charge, or at the end; a refund takes the estimate back."""
    path, limits = tmp_path / "calls.db", QuotaLimits(cost_per_day=1.0)
    with closing(Quota(path, "a", limits, job="out", clock=clock)) as quota:
        quota.correct(quota.charge(0.1), 0.5)
        quota.refund(quota.charge(0.4), 0.4)
        assert round(quota.spent().today, 9) == 0.6
        with pytest.raises(QuotaUsedUp):
            quota.charge(0.5)
        quota.correct("2026-01-31", -0.2)
    with closing(Quota(path, "a", limits, job="out", clock=clock)) as quota:
        assert round(quota.spent().today, 9) == round(quota.spent().in_all, 9) == 0.4


def test_the_mean_of_what_calls_used_is_kept_with_its_error(tmp_path: Path, clock: Clock) -> None:
    """By the settings of the calls, over restarts and accounts; one call says nothing about the error."""
    path = tmp_path / "calls.db"
    for name, tokens in (("a", 90), ("b", 110)):
        with closing(Quota(path, name, QuotaLimits(), clock=clock)) as quota:
            quota.learn("nano", Usage(tokens_in=tokens, tokens_out=10, cost=tokens / 1000))
    with closing(Quota(path, "a", QuotaLimits(), clock=clock)) as quota:
        quota.learn("large", Usage(tokens_in=5, cost=2.0))
        assert quota.learned("large") is None  # not yet written
        quota.charge()
        one, two = quota.learned("large"), quota.learned("nano")
        assert quota.learned("other") is None
    assert one == LearnedUsage(calls=1, tokens_in=5, tokens_out=0, cost=2.0, error=1.0)
    assert two is not None
    assert (two.calls, two.tokens_in, two.tokens_out, round(two.cost, 9)) == (2, 100, 10, 0.1)
    assert two.error == pytest.approx(1.96 * 0.01 / 0.1)  # the standard error of 0.09 and 0.11 is 0.01


def test_equal_costs_leave_no_error(tmp_path: Path) -> None:
    """Rounding in the sums makes no negative variance, and calls for nothing no division by zero."""
    with closing(Quota(tmp_path / "calls.db", "a", QuotaLimits())) as quota:
        for cost in (0.1, 0.1, 0.1):
            quota.learn("paid", Usage(tokens_in=1, cost=cost))
            quota.learn("free", Usage(tokens_in=1, cost=0.0))
        quota.charge()
        paid, free = quota.learned("paid"), quota.learned("free")
    assert paid is not None
    assert free is not None
    assert (round(paid.error, 6), free.error) == (0, 0)


def test_counts_of_the_first_layout_are_kept(tmp_path: Path, clock: Clock) -> None:
    """A calls.db without a number and without costs is brought to the current layout once."""
    path = tmp_path / "calls.db"
    with closing(sqlite3.connect(path)) as old:
        old.execute(
            "CREATE TABLE calls (account TEXT NOT NULL, day TEXT NOT NULL, count INTEGER NOT NULL, "
            "PRIMARY KEY (account, day)) WITHOUT ROWID"
        )
        old.execute("INSERT INTO calls VALUES ('a', '2026-01-31', 7)")
        old.commit()
    for calls in (8, 9):
        with closing(Quota(path, "a", QuotaLimits(), clock=clock)) as quota:
            quota.charge(0.5)
            assert quota.used() == (calls, calls)
    with closing(Quota(path, "a", QuotaLimits(), clock=clock)) as quota:
        assert quota.spent().month == 1.0


@pytest.mark.parametrize(
    "limits",
    [
        QuotaLimits(per_day=1),
        QuotaLimits(per_month=1),
        QuotaLimits(cost_per_day=1),
        QuotaLimits(cost_per_month=1),
        QuotaLimits(cost_in_all=1),
    ],
    ids=lambda limits: limits.lasting,
)
def test_a_state_folder_that_can_not_be_written_stops_what_needs_it(tmp_path: Path, limits: QuotaLimits) -> None:
    """The message names the setting; a run without such a cap is counted in memory."""
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "calls.db"
    with pytest.raises(OutputError, match=f"{limits.lasting} needs it"):
        Quota(path, "a", limits)
    with closing(Quota(path, "a", QuotaLimits(per_run=2))) as quota:
        assert spend(quota) == 2
        assert quota.used() == (2, 2)


def test_a_run_that_is_full_goes_on_the_next_day(tmp_path: Path, clock: Clock) -> None:
    """A timer that goes by resume_after would otherwise start the next run at once, without end."""
    with closing(Quota(tmp_path / "calls.db", "a", QuotaLimits(per_run=1), clock=clock)) as quota:
        quota.charge()
        with pytest.raises(QuotaUsedUp) as caught:
            quota.charge()
    assert caught.value.resume_after == datetime(2026, 2, 1, tzinfo=UTC)
