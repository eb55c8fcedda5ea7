"""The pace's laws, on a clock that is a number."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.fetch.pacing.pace import PENDING_LIMIT, Pace, Permit
from pipeline.fetch.policy import RateLimit


def pace(qps: float, guard: float = 0.01) -> Pace:
    return Pace(memoryview(bytearray(8 * Pace.CELLS)).cast("d"), RateLimit(qps=qps, guard=guard))


@dataclass
class Simulation:
    """Someone who wants `count` sends, each leaving `delays[i]` seconds after its permit (None: never)."""

    pace: Pace
    delays: list[float | None]
    sends: list[float] = field(default_factory=list)
    now: float = 100.0

    def run(self) -> None:
        """Play until the last send has left."""
        leaving: list[tuple[float, int, Permit, bool]] = []
        for number, delay in enumerate(self.delays):
            while not isinstance(answer := self.pace.take(self.now), Permit):
                self.now += answer
                self._leave(leaving)
            heapq.heappush(leaving, (self.now + (delay or 0.0), number, answer, delay is not None))
            self._leave(leaving)
        self.now += 60
        self._leave(leaving)

    def _leave(self, leaving: list[tuple[float, int, Permit, bool]]) -> None:
        while leaving and leaving[0][0] <= self.now:
            at, _, permit, sent = heapq.heappop(leaving)
            self.pace.settle(permit, at if sent else None)
            if sent:
                self.sends.append(at)


def most_in(window: float, stamps: list[float]) -> int:
    """Return the most stamps in any half-open window of that length."""
    inside: deque[float] = deque()
    most = 0
    for stamp in sorted(stamps):
        inside.append(stamp)
        while inside[0] <= stamp - window:
            inside.popleft()
        most = max(most, len(inside))
    return most


delays = st.lists(st.none() | st.floats(0, 0.4) | st.just(0.0), min_size=1, max_size=120)


@given(qps=st.integers(1, 60), guard=st.floats(0, 0.2), delays=delays)
@settings(max_examples=200)
def test_never_more_than_the_limit_in_any_second(qps: int, guard: float, delays: list[float | None]) -> None:
    """Whatever keeps granted sends from leaving, no window of a second holds more of them than the limit."""
    simulation = Simulation(pace(qps, guard), delays)
    simulation.run()
    assert most_in(1.0, simulation.sends) <= qps


@given(qps=st.integers(1, 60), delays=st.lists(st.none() | st.floats(0, 0.05), min_size=1, max_size=120))
def test_no_permit_is_lost(qps: int, delays: list[float | None]) -> None:
    """Sends that never leave give their permit back: all the others leave in the time the rate needs."""
    simulation = Simulation(pace(qps), delays)
    simulation.run()
    assert len(simulation.sends) == sum(delay is not None for delay in delays)
    # Each cycle of `qps` sends can be held up by the slowest of them, once.
    cycles = len(delays) / qps + 1
    assert simulation.now - 60 - 100 <= cycles * (1.01 + 2 * 0.05) + 0.1


@pytest.mark.parametrize("qps", [3, 50, 250, 1000])
def test_prompt_sends_reach_the_limit_evenly(qps: int) -> None:
    """A second's worth of sends takes a second and the guard from the very start, without a burst."""
    simulation = Simulation(pace(qps), [0.0] * (5 * qps + 1))
    simulation.run()
    assert simulation.sends[-1] - simulation.sends[0] == pytest.approx(5 * 1.01, rel=0.002)
    assert most_in(0.2, simulation.sends) <= qps * 0.2 + 1


def test_lateness_is_made_up_for_within_bounds() -> None:
    """After an idle time only 50 ms of sends may follow each other at once."""
    steady = pace(100)
    Simulation(steady, [0.0] * 10).run()
    late = Simulation(steady, [0.0] * 20, now=200.0)
    late.run()
    assert most_in(0.001, late.sends) == 5 + 1


@pytest.mark.parametrize(("qps", "seconds"), [(0.5, 2.02), (0.1, 10.1), (1.0, 1.01), (2.9, 0.505)])
def test_fractions_of_a_rate(qps: float, seconds: float) -> None:
    """Below one a second the sends lie further apart; above, only whole sends fit into a second."""
    simulation = Simulation(pace(qps), [0.0, 0.0, 0.0])
    simulation.run()
    gaps = [after - before for before, after in zip(simulation.sends, simulation.sends[1:], strict=False)]
    assert gaps == pytest.approx([seconds, seconds], abs=0.006)


def test_no_rate_means_no_wait() -> None:
    """Without a limit every send is granted at once."""
    simulation = Simulation(pace(0), [0.0] * 5000)
    simulation.run()
    assert simulation.sends[-1] == 100.0


def test_a_dead_holder_is_forgotten() -> None:
    """A permit that is never settled blocks its place only as long as a connect may take."""
    lone = pace(1)
    assert isinstance(lone.take(100.0), Permit)
    assert not isinstance(lone.take(100.0 + PENDING_LIMIT - 1), Permit)
    assert isinstance(lone.take(100.1 + PENDING_LIMIT), Permit)


@given(
    qps=st.integers(1, 40),
    lateness=st.lists(st.floats(0, 0.1) | st.just(0.0), min_size=1, max_size=150),
)
@settings(max_examples=150)
def test_sends_that_arrive_late_count_when_they_arrive(qps: int, lateness: list[float]) -> None:
    """Where each late arrival is told as its answer comes, no second at the service holds more than the limit."""
    steady, now = pace(qps, guard=0.001), 100.0
    arrivals: list[float] = []
    told: list[tuple[float, int, Permit, float]] = []
    for number, late in enumerate(lateness):
        while not isinstance(answer := steady.take(now), Permit):
            now += answer
            while told and told[0][0] <= now:
                _, _, permit, seconds = heapq.heappop(told)
                steady.late(permit, seconds)
        steady.settle(answer, now)
        arrivals.append(now + late)
        heapq.heappush(told, (now + late, number, answer, late))
    assert most_in(1.0, arrivals) <= qps


def test_word_of_a_send_that_left_the_window_changes_nothing() -> None:
    """An answer that comes after a second says nothing about the sends to come."""
    steady = pace(1)
    first = sent(steady, 100.0)
    sent(steady, 101.02)
    steady.late(first, 0.05)
    assert steady.take(101.5) == pytest.approx(101.02 + 1.01 - 101.5)


def test_a_pause_holds_everyone_and_only_grows() -> None:
    """Nothing is granted before the longest pause asked for is over, and then evenly."""
    steady = pace(10)
    steady.pause(100.0, 5.0, None)
    steady.pause(101.0, 1.0, None)
    assert steady.take(104.0) == pytest.approx(1.0)
    simulation = Simulation(steady, [0.0] * 5, now=104.0)
    simulation.run()
    assert simulation.sends[0] == pytest.approx(105.0)
    assert most_in(0.4, simulation.sends) <= 5


def sent(steady: Pace, now: float) -> Permit:
    permit = steady.take(now)
    assert isinstance(permit, Permit)
    steady.settle(permit, now)
    return permit


def test_what_was_in_flight_extends_but_cuts_once() -> None:
    """Of several refusals of one pause only the first corrects the limit, the others prolong the pause."""
    steady = pace(100)
    permits = [sent(steady, 100 + i * 0.0102) for i in range(20)]
    steady.pause(100.3, 1.0, permits[10])
    assert steady.limit(100.3) == 100 / 4
    steady.pause(100.31, 2.0, permits[11])
    steady.pause(100.32, 2.0, permits[2])
    assert steady.limit(100.32) == 100 / 4
    assert steady.paused_until == pytest.approx(102.32)


def test_a_refusal_at_the_edge_widens_the_guard_for_a_while() -> None:
    """A 429 with the whole limit used is jitter: the window is stretched, and shrinks back."""
    steady = pace(10)
    permits = [sent(steady, 100 + i * 0.102) for i in range(10)]
    steady.pause(101.0, 1.0, permits[-1])
    assert steady.limit(101.0) == 10
    simulation = Simulation(steady, [0.0] * 31, now=102.0)
    simulation.run()
    assert simulation.sends[-1] - simulation.sends[0] == pytest.approx(3 * 1.02, rel=0.003)
    later = Simulation(steady, [0.0] * 31, now=1_000.0)
    later.run()
    assert later.sends[-1] - later.sends[0] == pytest.approx(3 * 1.01, rel=0.003)


def serve(steady: Pace, seconds: float, truth: float, now: float) -> tuple[int, int]:
    """Run against a service that lets `truth` sends a second through and then asks for 1 s; count both."""
    taken: deque[float] = deque()
    answered = refused = 0
    end = now + seconds
    while now < end:
        permit = steady.take(now)
        if not isinstance(permit, Permit):
            now += permit
            continue
        steady.settle(permit, now)
        while taken and taken[0] <= now - 1:
            taken.popleft()
        if len(taken) >= truth:
            refused += 1
            steady.pause(now + 0.001, 1.0, permit)
        else:
            answered += 1
            taken.append(now)
        now += 0.0001
    return answered, refused


@pytest.mark.parametrize(("qps", "truth"), [(50, 20), (250, 60), (10, 3), (1000, 100), (0, 40), (5, 1)])
def test_finds_the_true_limit(qps: float, truth: int) -> None:
    """With a limit set too high, or none, nearly all that the service bears is reached with few refusals."""
    answered, refused = serve(pace(qps), 300.0, truth, 100.0)
    assert answered >= 0.85 * truth * 300
    assert refused <= 20


@pytest.mark.parametrize("truth", [20, 5])
def test_finds_back(truth: int) -> None:
    """When the other user of the key has gone, the full limit is reached again within some minutes."""
    steady = pace(50)
    serve(steady, 60.0, truth, 100.0)
    serve(steady, 120.0, 50, 160.0)
    answered, refused = serve(steady, 20.0, 50, 280.0)
    assert answered >= 0.97 * 50 * 20
    assert refused == 0
