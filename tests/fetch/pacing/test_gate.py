"""Waiting at the gate, on a clock that jumps."""

from __future__ import annotations

import anyio
import pytest
from anyio import current_time

from pipeline.fetch.pacing.concurrency import Concurrency
from pipeline.fetch.pacing.pacer import Gate, IntakeClosed, ProcessPacer
from pipeline.fetch.policy import RateLimit

VIRTUAL_CLOCK = True


def gate(qps: float = 10, concurrency: int = 100) -> tuple[Gate, ProcessPacer]:
    limits = RateLimit(qps=qps, concurrency=concurrency)
    bound = Concurrency(limits)
    bound.recovered()
    pacer = ProcessPacer(limits)
    return Gate(pacer, bound), pacer


async def send(gate: Gate, pacer: ProcessPacer, sends: list[tuple[float, int]], number: int, takes: float = 0) -> None:
    async with gate.permit() as permit:
        await pacer.settle(permit, sent=True)
        sends.append((current_time(), number))
        await anyio.sleep(takes)


async def test_first_come_first_served() -> None:
    """Permits are given in the order in which they were asked for, at the pace of the rate."""
    door, pacer = gate(qps=10)
    sends: list[tuple[float, int]] = []
    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(send, door, pacer, sends, number)
    assert [number for _, number in sends] == list(range(40))
    assert sends[-1][0] - sends[0][0] == pytest.approx(39 * 0.101, rel=0.01)


async def test_a_cancelled_waiter_takes_nothing_along() -> None:
    """Whoever is cancelled while waiting, or before the send, leaves the pace to the others."""
    door, pacer = gate(qps=2)
    sends: list[tuple[float, int]] = []
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as given_up:
            async with door.permit():
                given_up.cancel()
                await anyio.sleep(1)
        with anyio.move_on_after(0.01):
            await send(door, pacer, sends, 0)
        for number in range(1, 7):
            tasks.start_soon(send, door, pacer, sends, number)
    assert [number for _, number in sends] == [1, 2, 3, 4, 5, 6]
    assert sends[-1][0] - sends[0][0] == pytest.approx(5 * 0.505, rel=0.02)


async def test_no_more_in_flight_than_the_bound() -> None:
    """With three places, the fourth request waits until the first has ended."""
    door, pacer = gate(qps=1000, concurrency=3)
    sends: list[tuple[float, int]] = []
    started = current_time()
    async with anyio.create_task_group() as tasks:
        for number in range(6):
            tasks.start_soon(send, door, pacer, sends, number, 5.0)
    assert [round(at - started) for at, _ in sends] == [0, 0, 0, 5, 5, 5]


async def test_a_pause_reaches_everyone_at_once() -> None:
    """What waits when the pause begins waits until it is over, then goes on evenly."""
    door, pacer = gate(qps=10)
    sends: list[tuple[float, int]] = []
    started = current_time()
    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(send, door, pacer, sends, number)
        await anyio.sleep(0.35)
        await pacer.begin_pause(7.0)
    times = [at - started for at, _ in sends]
    assert sum(at < 0.36 for at in times) == 4
    assert [at for at in times if 0.36 <= at < 7.34] == []
    assert times[-1] == pytest.approx(7.35 + 5 * 0.101, abs=0.02)


@pytest.mark.parametrize("why", ["pace", "pause", "room", "backoff"])
async def test_closing_sends_everyone_away_at_once(why: str) -> None:
    """Whatever is waited for, a closed intake ends it now, and what is in flight goes on."""
    door, pacer = gate(qps=1000 if why == "room" else 1, concurrency=1 if why == "room" else 10)
    sends: list[tuple[float, int]] = []
    left: list[float] = []
    started = current_time()

    async def wait(number: int) -> None:
        try:
            await (door.sleep(50) if why == "backoff" else send(door, pacer, sends, number))
        except IntakeClosed:
            left.append(current_time() - started)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send, door, pacer, sends, 0, 5.0)
        await anyio.sleep(0.01)
        if why == "pause":
            await pacer.begin_pause(100.0)
        for number in range(1, 4):
            tasks.start_soon(wait, number)
        await anyio.sleep(0.2)
        door.close()
    assert left == pytest.approx([0.21] * 3, abs=0.001)
    assert current_time() - started == pytest.approx(5.0)
    with pytest.raises(IntakeClosed):
        await send(door, pacer, sends, 9)
