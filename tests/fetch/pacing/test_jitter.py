"""The pace over a network with jitter, against a strict service, in virtual time."""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field

import pytest

from pipeline.fetch.pacing.late_arrivals import LateArrivals
from pipeline.fetch.pacing.pace import Pace, Permit
from pipeline.fetch.policy import RateLimit

LATENCY = 0.02


@dataclass(kw_only=True)
class Network:
    """A service that lets `truth` requests in any second through; each arrives up to `jitter` seconds late."""

    pace: Pace
    truth: int
    jitter: float
    now: float = 1000.0
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    late: LateArrivals = field(default_factory=LateArrivals)
    events: list[tuple[float, int, Permit, str]] = field(default_factory=list)
    arrived: deque[float] = field(default_factory=deque)
    sent: int = 0
    answered: int = 0
    refused: int = 0

    def run(self, seconds: float) -> None:
        """Send whatever may be sent, and learn from each answer when it comes."""
        end = self.now + seconds
        while self.now < end:
            while self.events and self.events[0][0] <= self.now:
                self._happen(*heapq.heappop(self.events))
            permit = self.pace.take(self.now)
            if isinstance(permit, Permit):
                self.pace.settle(permit, self.now)
                self._plan(self.now + LATENCY / 2 + self.chance.uniform(0, self.jitter), permit, "arrives")
                self.now += 1e-4
            else:
                next_event = self.events[0][0] - self.now if self.events else permit
                self.now += max(1e-4, min(permit, next_event))

    def _plan(self, at: float, permit: Permit, what: str) -> None:
        self.sent += what == "arrives"
        heapq.heappush(self.events, (at, id(permit), permit, what))

    def _happen(self, at: float, _: int, permit: Permit, what: str) -> None:
        if what == "arrives":
            self._plan(at + LATENCY / 2, permit, "answered" if self.judge(at) else "refused")
            return
        assert permit.sent_at is not None
        if seconds := self.late.of(at - permit.sent_at):
            self.pace.late(permit, seconds)
        if what == "refused":
            self.pace.pause(at, 1.0, permit)

    def judge(self, now: float) -> bool:
        """Count a request; return True if it is let through."""
        while self.arrived and self.arrived[0] <= now - 1:
            self.arrived.popleft()
        if is_let_through := len(self.arrived) < self.truth:
            self.arrived.append(now)
        self.answered += is_let_through
        self.refused += not is_let_through
        return is_let_through


def pace(qps: float) -> Pace:
    return Pace(memoryview(bytearray(8 * Pace.CELLS)).cast("d"), RateLimit(qps=qps))


@pytest.mark.parametrize("qps", [3, 5, 10, 50])
@pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.99), (0.01, 0.985), (0.03, 0.97), (0.05, 0.955)])
def test_jitter_costs_what_it_must(qps: int, jitter: float, share: float) -> None:
    """No more of the quota than a request is late on average, and at most one refusal in a thousand requests."""
    network = Network(pace=pace(qps), truth=qps, jitter=jitter)
    network.run(300.0)
    assert network.answered >= share * qps * 300
    assert network.refused <= max(1, network.sent / 1000)


@pytest.mark.parametrize(("qps", "truth"), [(3, 2), (5, 3), (10, 8), (50, 40)])
def test_a_limit_that_is_set_too_high_is_told_apart_from_jitter(qps: int, truth: int) -> None:
    """Refusals go on in spite of a wide guard: what the service bears is reached with few of them."""
    network = Network(pace=pace(qps), truth=truth, jitter=0.002)
    network.run(300.0)
    assert network.answered >= 0.9 * truth * 300
    assert network.refused <= 25


@pytest.mark.parametrize("qps", [3, 5, 10])
def test_a_refusal_by_jitter_is_made_up_for_in_seconds(qps: int) -> None:
    """One request that came much too late, in a network that is else quiet, cuts no rate."""
    network = Network(pace=pace(qps), truth=qps, jitter=0.0)
    network.run(5.0)
    network.arrived[0] += 0.5  # held up on the way, unseen
    before = network.answered
    network.run(30.0)
    assert network.refused
    assert network.answered - before >= 0.93 * qps * 30
