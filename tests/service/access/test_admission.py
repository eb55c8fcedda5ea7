"""What is admitted is limited; what only waits makes room for what is new."""

from __future__ import annotations

import anyio

from pipeline.service.access.admission import Admission, AdmissionPool

VIRTUAL_CLOCK = True


def admit(pool: AdmissionPool, caller: str, replaced: list[Admission] | None = None) -> Admission | None:
    admission = pool.admit(caller)
    if admission is not None and replaced is not None:
        admission.replace = lambda: replaced.append(admission)
    return admission


async def test_a_caller_can_not_take_all_places() -> None:
    """One caller gets half of them, and another one still gets in."""
    pool = AdmissionPool(8, 1.0)
    assert len([each for each in (admit(pool, "a") for _ in range(8)) if each]) == 4
    assert admit(pool, "b")


async def test_the_oldest_that_waits_makes_room() -> None:
    """A caller with its share in use replaces its own slowest, but none that has just come, and none at work."""
    pool, replaced = AdmissionPool(4, 1.0), list[Admission]()
    first, second = (admit(pool, "a", replaced) for _ in range(2))
    assert first is not None
    assert second is not None
    assert admit(pool, "a") is None
    await anyio.sleep(2)
    third = admit(pool, "a", replaced)
    assert third is not None
    assert replaced == [first] or replaced == [second]
    for each in (first, second, third):
        each.is_waiting = False
    await anyio.sleep(2)
    assert admit(pool, "a") is None


async def test_a_newcomer_replaces_what_others_only_hold() -> None:
    """With all places in use, a caller without any takes one that waits, whoever has it."""
    pool, replaced = AdmissionPool(3, 1.0), list[Admission]()
    for caller in "abc":
        assert admit(pool, caller, replaced)
    assert admit(pool, "d") is None
    await anyio.sleep(2)
    assert admit(pool, "d")
    assert [each.caller for each in replaced] == ["a"] or len(replaced) == 1


async def test_a_place_is_given_back_once() -> None:
    """One that was replaced and then leaves gives back nothing."""
    pool = AdmissionPool(2, 1.0)
    first = admit(pool, "a")
    assert first is not None
    await anyio.sleep(2)
    second = admit(pool, "a")
    assert second is not None
    pool.leave(first)
    assert len(pool) == 1
    assert admit(pool, "a") is None
    pool.leave(second)
    assert admit(pool, "a")


async def test_the_end_of_the_last_one_ends_the_wait() -> None:
    """The wait lasts until nothing is admitted, and no longer than its limit."""
    pool, waited = AdmissionPool(4, 1.0), anyio.Event()

    async def wait() -> None:
        await pool.wait_until_empty(60)
        waited.set()

    async with anyio.create_task_group() as tasks:
        admission = admit(pool, "a")
        assert admission is not None
        await pool.wait_until_empty(1)
        tasks.start_soon(wait)
        await anyio.sleep(5)
        assert not waited.is_set()
        pool.leave(admission)
    assert waited.is_set()
