"""The second dimension of the pace: tokens or units a minute, from the config, from headers, and from refusals."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.fetch.pacing.amounts import MINUTE
from pipeline.fetch.pacing.pace import Pace, Permit
from pipeline.fetch.policy import RateLimit
from pipeline.records import Advice, Budget


def pace(per_minute: float = 0.0, qps: float = 0.0) -> Pace:
    limits = RateLimit(qps=qps, amount_per_minute=per_minute)
    return Pace(memoryview(bytearray(8 * Pace.CELLS)).cast("d"), limits)


def most_in_a_minute(sends: list[tuple[float, float]]) -> float:
    """Return the most that was sent in any minute, of pairs of a time and an amount."""
    inside: deque[tuple[float, float]] = deque()
    most = 0.0
    for at, amount in sorted(sends):
        inside.append((at, amount))
        while inside[0][0] <= at - MINUTE:
            inside.popleft()
        most = max(most, sum(sent for _, sent in inside))
    return most


def send_all(steady: Pace, amounts: list[float], delays: list[float | None], now: float = 100.0) -> Iterator[float]:
    """Send each amount as soon as the pace lets it, each leaving so long after its permit; yield when each left."""
    leaving: list[tuple[float, int, Permit, bool]] = []

    def leave(until: float) -> Iterator[float]:
        while leaving and leaving[0][0] <= until:
            at, _, permit, has_left = heapq.heappop(leaving)
            steady.settle(permit, at if has_left else None)
            if has_left:
                yield at

    for number, (amount, delay) in enumerate(zip(amounts, delays, strict=True)):
        while not isinstance(answer := steady.take(now, amount), Permit):
            now += answer
            yield from leave(now)
        heapq.heappush(leaving, (now + (delay or 0.0), number, answer, delay is not None))
        yield from leave(now)
    yield from leave(now + 60)


@given(
    limit=st.integers(500, 20_000),
    sends=st.lists(st.tuples(st.integers(1, 500), st.floats(0, 5) | st.just(0.0)), min_size=1, max_size=80),
)
@settings(max_examples=150)
def test_never_more_than_the_limit_in_any_minute(limit: int, sends: list[tuple[int, float]]) -> None:
    """However the amounts differ, and whatever keeps them from leaving, no minute holds more than the limit."""
    steady, left = pace(limit), list[tuple[float, float]]()
    permits: list[tuple[float, int, Permit, float]] = []
    now = 100.0
    for number, (amount, delay) in enumerate(sends):
        while not isinstance(answer := steady.take(now, amount), Permit):
            now += answer
            while permits and permits[0][0] <= now:
                at, _, permit, sent = heapq.heappop(permits)
                steady.settle(permit, at)
                left.append((at, sent))
        heapq.heappush(permits, (now + delay, number, answer, amount))
    left += [(at, sent) for at, _, _, sent in permits]
    assert len(left) == len(sends)
    assert most_in_a_minute(left) <= limit


def test_the_limit_is_reached_evenly() -> None:
    """A minute's tokens take a minute from the very start, without a burst."""
    sends = list(send_all(pace(60_000), [1_000.0] * 181, [0.0] * 181))
    assert sends[-1] - sends[0] == pytest.approx(180, rel=0.03)
    assert most_in_a_minute([(at, 1_000.0) for at in sends]) <= 60_000
    assert max(sum(at <= other < at + 5 for other in sends) for at in sends) <= 6


def test_one_send_of_more_than_the_limit_goes_alone() -> None:
    """It can't be held back for ever: it waits until nothing else was sent for a minute."""
    sends = list(send_all(pace(1_000), [400.0, 5_000.0, 400.0], [0.0] * 3))
    assert [after - before for before, after in pairwise(sends)] == [
        pytest.approx(60, abs=1.1),
        pytest.approx(60, abs=1.1),
    ]


def test_what_never_left_gives_its_amount_back() -> None:
    """Sends that were never made take nothing from the others."""
    steady = pace(10_000)
    kept = list(send_all(steady, [1_000.0] * 20, [None, 0.0] * 10))
    assert len(kept) == 10
    assert steady.sent_amount(kept[-1]) <= 10_000


def test_what_was_really_used_takes_the_place_of_the_estimate() -> None:
    """Twice the tokens, half the pace: the window holds what the answers say."""
    steady, now, used = pace(10_000), 100.0, list[tuple[float, float]]()
    for _ in range(40):
        while not isinstance(permit := steady.take(now, 500.0), Permit):
            now += permit
        steady.settle(permit, now)
        steady.answered(permit, 1_000.0, Advice())
        used.append((now, 1_000.0))
    assert most_in_a_minute(used) <= 10_000
    assert steady.sent_amount(now) == pytest.approx(most_in_a_minute(used[-11:]), abs=1_000)


@dataclass
class Bucket:
    """A service that refills `limit` tokens a minute all the time, as OpenAI's does."""

    limit: float
    level: float = 0.0
    at: float = 100.0

    def __post_init__(self) -> None:
        self.level = self.limit

    def left(self, now: float) -> Budget:
        self.level = min(self.limit, self.level + (now - self.at) * self.limit / MINUTE)
        self.at = now
        return Budget(limit=self.limit, remaining=self.level, reset=(self.limit - self.level) * MINUTE / self.limit)

    def spend(self, now: float, amount: float) -> None:
        self.level -= amount


@dataclass
class Window:
    """A service whose tokens all come back at the full minute."""

    limit: float
    used: dict[int, float] = field(default_factory=dict)

    def left(self, now: float) -> Budget:
        minute = int(now // MINUTE)
        remaining = self.limit - self.used.get(minute, 0.0)
        return Budget(limit=self.limit, remaining=remaining, reset=(minute + 1) * MINUTE - now)

    def spend(self, now: float, amount: float) -> None:
        minute = int(now // MINUTE)
        self.used[minute] = self.used.get(minute, 0.0) + amount


Service = Bucket | Window


def serve(
    steady: Pace, service: Service, seconds: float, *, amount: float = 1_000.0, latency: float = 2.0, headers: bool
) -> tuple[float, int]:
    """Run against a service for so long; return the tokens that it answered for, and its refusals."""
    now, answered, refused, flying = 100.0, 0.0, 0, deque[tuple[float, Permit, Budget]]()
    while now < 100.0 + seconds:
        while flying and flying[0][0] <= now:
            _, permit, left = flying.popleft()
            steady.answered(permit, amount, Advice(amount=left) if headers else Advice())
        granted = steady.take(now, amount) if len(flying) < 16 else 0.05
        if not isinstance(granted, Permit):
            now += min(granted, flying[0][0] - now) if flying else granted
            continue
        steady.settle(granted, now)
        if service.left(now).remaining < amount:
            refused += 1
            steady.answered(granted, 0.0, Advice())
            steady.pause(now, 1.0, granted, too_much=steady.sent_amount(now))
            continue
        service.spend(now, amount)
        answered += amount
        flying.append((now + latency, granted, service.left(now)))
    return answered, refused


@pytest.mark.parametrize("kind", [Bucket, Window])
@pytest.mark.parametrize("limit", [20_000, 200_000])
def test_headers_keep_a_run_from_being_refused(kind: Callable[[float], Service], limit: float) -> None:
    """Without any limit in the config, what is left is spread over its time: no refusal, and most of it is used."""
    answered, refused = serve(pace(), kind(limit), 600, headers=True)
    assert refused == 0
    assert answered >= 0.8 * limit * 10


@pytest.mark.parametrize("kind", [Bucket, Window])
@pytest.mark.parametrize("per_minute", [0, 100_000])
def test_refusals_teach_the_limit(kind: Callable[[float], Service], per_minute: float) -> None:
    """Where no header says it, refusals show what a service bears: few of them, and most of it is used."""
    answered, refused = serve(pace(per_minute), kind(30_000), 1_200, headers=False)
    assert refused <= 30
    assert answered >= 0.7 * 30_000 * 20


def test_the_limit_on_calls_is_spread_as_well() -> None:
    """Ten calls that are left for 20 s leave evenly spread over them; the eleventh waits for the end."""
    steady = pace()
    first = steady.take(100.0)
    assert isinstance(first, Permit)
    steady.settle(first, 100.0)
    steady.answered(first, 0.0, Advice(calls=Budget(limit=60, remaining=10, reset=20)))
    sends = list(send_all(steady, [0.0] * 11, [0.0] * 11))
    assert sends == pytest.approx([100 + n * 20 / 11 for n in range(1, 12)], abs=0.01)


def test_what_was_sent_meanwhile_is_no_longer_left() -> None:
    """An answer speaks of the moment of its request: what has left since then is taken off."""
    steady = pace()
    first, second = steady.take(100.0, 400.0), steady.take(100.0, 400.0)
    assert isinstance(first, Permit)
    assert isinstance(second, Permit)
    steady.settle(first, 100.0)
    steady.settle(second, 100.0)
    steady.answered(first, 400.0, Advice(amount=Budget(limit=10_000, remaining=1_000, reset=30)))
    assert steady.take(101.0, 700.0) == pytest.approx(29.0)  # 600 are left


def test_plenty_is_no_reason_to_wait() -> None:
    """While at least half of a limit is left, nobody waits for it."""
    steady = pace()
    permit = steady.take(100.0, 10.0)
    assert isinstance(permit, Permit)
    steady.settle(permit, 100.0)
    steady.answered(permit, 10.0, Advice(amount=Budget(limit=100, remaining=50, reset=60)))
    assert isinstance(steady.take(100.0, 40.0), Permit)


def test_a_limit_of_a_day_is_left_to_refusals() -> None:
    """A run that needs less than is left would wait for nothing."""
    steady = pace()
    permit = steady.take(100.0, 10.0)
    assert isinstance(permit, Permit)
    steady.settle(permit, 100.0)
    steady.answered(permit, 10.0, Advice(calls=Budget(limit=10_000, remaining=100, reset=40_000)))
    assert isinstance(steady.take(100.0, 40.0), Permit)
