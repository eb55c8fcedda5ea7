"""Work is done for those who have used the least; a slot is kept until the work has ended."""

from __future__ import annotations

from functools import partial

import anyio
import anyio.to_thread
import pytest

from pipeline.service.access.fair_queue import FairQueue

VIRTUAL_CLOCK = True


async def work(queue: FairQueue, caller: str, seconds: float, done: list[str]) -> None:
    """Work for a caller."""
    async with queue.slot(caller):
        await anyio.sleep(seconds)
    done.append(caller)


async def test_one_caller_s_queue_delays_others_by_one_piece() -> None:
    """A caller that comes after a hundred requests of another one is next."""
    queue, done = FairQueue(1), list[str]()
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(work, queue, "flood", 1.0, done)
        await anyio.sleep(2.5)
        await work(queue, "honest", 0.1, done)
        assert done == ["flood", "flood", "flood", "honest"]
        tasks.cancel_scope.cancel()


async def test_slow_work_counts_more_than_many_pieces() -> None:
    """Of two callers, the one whose pictures take seconds waits for the one whose pictures take moments."""
    queue, done = FairQueue(1), list[str]()
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(work, queue, "bombs", 2.0, done)
        await anyio.sleep(0.1)
        for _ in range(10):
            tasks.start_soon(work, queue, "usual", 0.1, done)
        await anyio.sleep(3.5)
        assert done == ["bombs", *["usual"] * 10]
        tasks.cancel_scope.cancel()


async def test_use_is_forgotten() -> None:
    """A caller that was heavy some minutes ago is like any other."""
    queue, done = FairQueue(1), list[str]()
    await work(queue, "reformed", 5.0, done)
    await anyio.sleep(300)
    await work(queue, "other", 0.5, done)
    async with anyio.create_task_group() as tasks:
        for caller in ("third", "other", "reformed"):
            tasks.start_soon(work, queue, caller, 1.0, done)
            await anyio.sleep(0.01)
    assert done[2:] == ["third", "reformed", "other"]


@pytest.mark.parametrize("leaves", ["first", "second"])
async def test_who_leaves_takes_no_slot_along(leaves: str) -> None:
    """A request that is cancelled while it waits, or at work, leaves the slots as they were."""
    queue, done = FairQueue(1), list[str]()
    scopes = {"first": anyio.CancelScope(), "second": anyio.CancelScope()}

    async def cancellable(caller: str) -> None:
        with scopes[caller]:
            await work(queue, caller, 1.0, done)

    async with anyio.create_task_group() as tasks:
        for caller in scopes:
            tasks.start_soon(cancellable, caller)
            await anyio.sleep(0.1)
        scopes[leaves].cancel()
        tasks.start_soon(partial(work, queue, "third", 1.0, done))
    assert done == [caller for caller in ("first", "second", "third") if caller != leaves]
