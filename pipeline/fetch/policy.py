"""The small values that fetch is given, and what it counts while it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How fast and how many at once.

    `qps`: sends in any second, 0 = as fast as the service answers. `concurrency`: requests in flight, 0 = from qps
    and the latency seen. `guard`: by how much the second is stretched, as a share, against jitter on the way.
    `amount_per_minute`: tokens or units in any minute, 0 = any.
    """

    qps: float = 3.0
    concurrency: int = 0
    guard: float = 0.003
    amount_per_minute: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How a transient fault is tried again; all times in seconds.

    `attempts`: tries a row may lose to its own faults. `first_wait`, `max_wait`: the jittered exponential backoff.
    `request_timeout`: one try, from connecting to the last byte. `row_timeout`: no try starts later than this after
    a row's first one, and no pause longer than this is waited for.
    """

    attempts: int = 5
    first_wait: float = 0.5
    max_wait: float = 60.0
    request_timeout: float = 60.0
    row_timeout: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPolicy:
    """How fast a service is sent to, and how its faults are tried again.

    `has_answered`: the service is known from an earlier run, so that one denial says nothing about the key.
    """

    rate: RateLimit = RateLimit()
    retry: RetryPolicy = RetryPolicy()
    has_answered: bool = False


@dataclass(slots=True, kw_only=True)
class FetchCounters:
    """What fetch did in one run, for run.json; times in seconds.

    `calls` counts sends that left, `answers` those that brought something back, `retries` the sends beyond a
    request's first, `refusals` the answers 429, `sent_while_paused` the sends that left into a closed window.
    """

    calls: int = 0
    answers: int = 0
    retries: int = 0
    refusals: int = 0
    faults: int = 0
    pauses: int = 0
    paused: float = 0.0
    sent_while_paused: int = 0
