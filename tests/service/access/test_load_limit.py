"""The requests in progress are limited, and can be waited for."""

from __future__ import annotations

import anyio
import pytest

from pipeline.service.access.load_limit import LoadLimit
from pipeline.service.refusals import Refused


def test_a_place_is_free_again_after_a_failure() -> None:
    """A request gives its place back, also when it fails."""
    load = LoadLimit(1)
    with pytest.raises(ZeroDivisionError), load.enter():
        raise ZeroDivisionError
    with load.enter(), pytest.raises(Refused), load.enter():
        pass


async def test_the_end_of_the_last_request_ends_the_wait() -> None:
    """The wait lasts until no request is in progress, and no longer than its limit."""
    load, waited = LoadLimit(2), anyio.Event()

    async def wait() -> None:
        await load.wait_until_idle(60)
        waited.set()

    async with anyio.create_task_group() as tasks:
        with load.enter():
            await load.wait_until_idle(0)
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert not waited.is_set()
    assert waited.is_set()
