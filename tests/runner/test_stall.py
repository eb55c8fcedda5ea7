"""A run in which nothing moves any more ends with the stacks of its tasks, on a clock that jumps."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio

from pipeline.errors import Stalled
from pipeline.report.tally import Tally
from pipeline.runner.stop import Stop
from pipeline.runner.stop_conditions import on_stall

VIRTUAL_CLOCK = True


async def test_a_stall_is_told_with_the_stacks_of_all_tasks(tmp_path: Path) -> None:
    """Where each task stood is in the log, by the name of its function; the run gives up."""
    stop, gave_up = Stop(), anyio.Event()

    async def a_wait_that_never_ends() -> None:
        await anyio.sleep_forever()

    log, started = tmp_path / "stalled.log", anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(a_wait_that_never_ends)
        tasks.start_soon(partial(on_stall, stop, Tally(), 60.0, lambda: False, log, gave_up.set))
        await gave_up.wait()
        assert 60 <= anyio.current_time() - started <= 70
        tasks.cancel_scope.cancel()
    assert isinstance(stop.cause, Stalled)
    assert stop.cause.exit_code == 3
    assert "a_wait_that_never_ends" in log.read_text()


async def test_a_pause_on_purpose_is_no_stall(tmp_path: Path) -> None:
    """While someone waits for a permit or a pause, nothing has to move."""
    stop, looks = Stop(), iter(range(1_000))

    def waits() -> bool:
        return next(looks) >= 0

    with anyio.move_on_after(600):
        await on_stall(stop, Tally(), 60.0, waits, tmp_path / "log", lambda: None)
    assert next(looks) > 60
    assert not stop.asked.is_set()
