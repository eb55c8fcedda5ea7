"""What ends a run early: the first reason counts, deadlines follow the wall clock, failures are counted."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from datetime import time as time_of_day

import anyio
import pytest

from pipeline.config import Share
from pipeline.errors import DeadlineReached, KeyRefused, QuotaUsedUp, StopRequested, TooManyFailures
from pipeline.records import Failure
from pipeline.report.tally import Tally
from pipeline.runner.policies import Deadline
from pipeline.runner.stop import Stop
from pipeline.runner.stop_conditions import (
    FAULTS_IN_A_ROW,
    at_deadline,
    judge_failures,
    judge_whole,
    next_time,
)
from tests.waiting import HANG_SECONDS


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the local time be New York's, whose clocks went forward on 8 March 2026 and back on 1 November."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("new_york")
@pytest.mark.parametrize(
    ("now", "of_day", "hours"),
    [
        pytest.param("2026-06-10T22:00:00", "06:00", 8.0, id="across midnight"),
        pytest.param("2026-06-10T05:59:00", "06:00", 1 / 60, id="the same morning"),
        pytest.param("2026-06-10T06:00:00", "06:00", 24.0, id="just now is tomorrow"),
        pytest.param("2026-06-10T20:30:00", "23:00", 2.5, id="an evening that is tomorrow in UTC"),
        pytest.param("2026-03-07T22:00:00", "06:00", 7.0, id="the night that loses an hour"),
        pytest.param("2026-10-31T22:00:00", "06:00", 9.0, id="the night that gains an hour"),
    ],
)
def test_the_next_time_of_day_is_on_the_local_clock(now: str, of_day: str, hours: float) -> None:
    """Midnight and daylight saving are followed."""
    begun = datetime.fromisoformat(now).astimezone(UTC)  # as a run notes its start
    until = next_time(time_of_day.fromisoformat(of_day), begun)
    assert (until.timestamp() - begun.timestamp()) / 3600 == pytest.approx(hours)
    assert f"{until.astimezone():%H:%M}" == of_day


@pytest.mark.parametrize(
    ("zone", "now", "of_day", "expected"),
    [
        ("America/New_York", "2026-10-31T22:00-04:00", "01:30", "2026-11-01T01:30-04:00"),
        ("America/New_York", "2026-11-01T01:45-04:00", "01:30", "2026-11-01T01:30-05:00"),
        ("America/New_York", "2026-11-01T01:10-05:00", "01:30", "2026-11-01T01:30-05:00"),
        ("America/New_York", "2026-11-01T01:30-05:00", "01:30", "2026-11-02T01:30-05:00"),
        ("America/New_York", "2026-03-07T22:00-05:00", "02:30", "2026-03-08T03:00-04:00"),
        ("America/New_York", "2026-03-08T03:10-04:00", "02:30", "2026-03-09T02:30-04:00"),
        ("America/New_York", "2026-03-08T03:00-04:00", "02:00", "2026-03-09T02:00-04:00"),
        ("Europe/Berlin", "2026-10-24T22:00+02:00", "02:30", "2026-10-25T02:30+02:00"),
        ("Europe/Berlin", "2026-10-25T02:45+02:00", "02:30", "2026-10-25T02:30+01:00"),
        ("Europe/Berlin", "2026-10-25T02:45+01:00", "02:30", "2026-10-26T02:30+01:00"),
        ("Europe/Berlin", "2026-03-28T22:00+01:00", "02:30", "2026-03-29T03:00+02:00"),
        ("Europe/Berlin", "2026-03-29T03:10+02:00", "02:30", "2026-03-30T02:30+02:00"),
    ],
)
def test_a_time_that_is_shown_twice_or_never(
    monkeypatch: pytest.MonkeyPatch, zone: str, now: str, of_day: str, expected: str
) -> None:
    """On the night when clocks go back the next of both counts; a time in the gap is the moment of the change."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        until = next_time(time_of_day.fromisoformat(of_day), datetime.fromisoformat(now))
    time.tzset()
    assert until == datetime.fromisoformat(expected)


async def test_the_time_that_was_spent_before_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that began an hour ago has reached a deadline of half an hour at once; no limits never end a run."""
    stop = Stop()
    begun = datetime.fromtimestamp(time.time() - 3600).astimezone()
    await at_deadline(stop, Deadline(max_runtime=1800.0), begun)
    assert isinstance(stop.cause, DeadlineReached)
    assert "max_runtime" in str(stop.cause)
    await at_deadline(unlimited := Stop(), Deadline(), begun)
    assert unlimited.cause is None


def test_the_first_reason_counts_and_acts_once() -> None:
    """What asks later changes nothing."""
    stop, acted = Stop(), []
    stop.on_ask(lambda: acted.append(1))
    first = KeyRefused("no")
    stop.ask(first)
    stop.ask(QuotaUsedUp("no more"))
    assert stop.cause is first
    assert acted == [1]


async def test_another_thread_may_ask_to_stop() -> None:
    """The run's own thread acts on it, and tasks that wait for it go on."""
    stop, acted_in = Stop(), list[int]()
    stop.bind()
    stop.on_ask(lambda: acted_in.append(threading.get_ident()))
    threading.Thread(target=stop.ask).start()
    with anyio.fail_after(HANG_SECONDS):
        await stop.asked.wait()
    assert acted_in == [threading.get_ident()]
    assert isinstance(stop.cause, StopRequested)
    assert stop.cause.exit_code == 3


def test_what_was_asked_for_before_the_run_begins_is_done_at_once() -> None:
    """A stop that comes early is not lost."""
    stop, acted = Stop(), list[int]()
    stop.ask()
    stop.on_ask(lambda: acted.append(1))
    assert acted == [1]


def failure(code: str = "x", *, retryable: bool = False) -> Failure:
    return Failure(id="a", line=1, ordinal=0, image=None, stage="fetch", code=code, message="m", retryable=retryable)


def test_a_share_of_failures_is_judged_from_twenty_rows_on() -> None:
    """One of ten is borne until there are twenty."""
    tally, stop = Tally(), Stop()
    for _ in range(19):
        tally.count_failure(failure())
        judge_failures(stop, tally, Share(share=0.05))
    assert not stop.asked.is_set()
    tally.count_failure(failure("corrupt"))
    judge_failures(stop, tally, Share(share=0.05))
    assert isinstance(stop.cause, TooManyFailures)
    assert "20 of 20 rows failed" in str(stop.cause)


def test_a_count_of_failures_is_judged_at_once() -> None:
    """None is borne where none is allowed."""
    tally, stop = Tally(), Stop()
    tally.count_failure(failure())
    judge_failures(stop, tally, Share(count=0))
    assert isinstance(stop.cause, TooManyFailures)


def test_rows_that_failed_before_count_at_the_end_alone() -> None:
    """They end no run that goes on, but a catalogue of which too much has failed never exits with 1."""
    tally, stop = Tally(), Stop()
    tally.count_batch(40, 10, Counter(truncated=30))
    judge_failures(stop, tally, Share(share=0.05))
    assert not stop.asked.is_set()
    judge_whole(stop, tally, Share(share=0.05))
    assert "truncated, 30 times" in str(stop.cause)


def test_faults_in_a_row_end_a_run_and_verdicts_do_not() -> None:
    """Pictures the service refuses are no sign that it is down."""
    tally, stop = Tally(), Stop()
    for _ in range(3 * FAULTS_IN_A_ROW):
        tally.count_failure(failure())
        judge_failures(stop, tally, Share(share=1.0))
    assert not stop.asked.is_set()
    for _ in range(FAULTS_IN_A_ROW):
        tally.count_failure(failure(retryable=True))
        judge_failures(stop, tally, Share(share=1.0))
    assert isinstance(stop.cause, TooManyFailures)
