"""How many requests may be in flight."""

from __future__ import annotations

import pytest

from pipeline.fetch.pacing.concurrency import MOST, Concurrency, max_workers
from pipeline.fetch.policy import RateLimit


def after(limits: RateLimit, *latencies: float) -> int:
    bound = Concurrency(limits)
    bound.recovered()
    for latency in latencies:
        bound.answered(latency)
    return bound.limit


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (RateLimit(qps=3), 24),
        (RateLimit(qps=0.1), 2),
        (RateLimit(qps=250), 64),
        (RateLimit(qps=0), 32),
        (RateLimit(qps=3, concurrency=5), 5),
    ],
    ids=["slow", "slowest", "fast", "no rate", "said"],
)
def test_workers_worth_starting(limits: RateLimit, expected: int) -> None:
    """As many as can be in flight with answers of 8 s, between 2 and 64, unless the config says how many."""
    assert max_workers(limits) == expected


def test_one_alone_goes_ahead() -> None:
    """At the start, and after trouble, one request tries the service before the others follow."""
    bound = Concurrency(RateLimit(qps=50, concurrency=8))
    assert bound.limit == 1
    bound.recovered()
    assert bound.limit == 8
    bound.troubled()
    assert bound.limit == 1


def test_follows_littles_law() -> None:
    """With a rate, the bound is rate times latency with some room, and never beyond the workers."""
    assert after(RateLimit(qps=10), 1.0) == 17
    assert after(RateLimit(qps=10), 0.01) == 3
    assert after(RateLimit(qps=100), 30.0) == MOST


def test_slow_answers_raise_the_bound_at_once_and_fast_ones_lower_it_slowly() -> None:
    """One slow answer makes room for the ones behind it; the room goes as the slow answer is forgotten."""
    assert after(RateLimit(qps=10), 0.1, 2.0) == 32
    assert after(RateLimit(qps=10), 2.0, 0.1) == 31
    assert after(RateLimit(qps=10), 2.0, *[0.1] * 200) == 4


def test_without_a_rate_it_grows_while_answers_stay_fast() -> None:
    """A service that answers no slower with more at once gets more at once."""
    assert after(RateLimit(qps=0), *[0.05] * 400) == 32


def test_without_a_rate_it_stays_low_where_answers_queue() -> None:
    """A service that works on two requests at a time is not sent thirty."""
    bound = Concurrency(RateLimit(qps=0))
    bound.recovered()
    for _ in range(2000):
        bound.answered(0.1 * max(1.0, bound.limit / 2))
    assert 3 <= bound.limit <= 10
