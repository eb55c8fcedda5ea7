"""Runs the stages on one task group, with bounded streams between them; the only place that starts a run's tasks.

manifest -> prepare -> fetch -> sink. A run that is asked to stop takes on nothing new, finishes what is in flight
within the grace time, and commits.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from pipeline.errors import PipelineError
from pipeline.resume.changes import PendingRow
from pipeline.runner.stages import FetchStage, ManifestStage, PreparedRow, PrepareStage
from pipeline.runner.stop import Stop
from pipeline.sink.sink import Item, Sink

Watcher = Callable[[], Coroutine[None, None, None]]
GRACE_SECONDS = 30.0
MOST_READY = 8  # pictures that wait for a permit, up to 1 MB each


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The stages of a run, and how many rows may be prepared and sent at once."""

    manifest: ManifestStage
    prepare: PrepareStage
    fetch: FetchStage
    sink: Sink
    preparers: int
    fetchers: int


class Execution:
    """One run of the stages; what they send to the sink goes through `items`."""

    def __init__(self, stages: Stages, items: MemoryObjectSendStream[Item], stop: Stop) -> None:
        self._stages = stages
        self._items = items
        self._stop = stop
        self._intake = anyio.CancelScope()
        self._work = anyio.CancelScope()

    async def run(self, written: MemoryObjectReceiveStream[Item], watchers: Sequence[Watcher]) -> None:
        """Run all stages, with `watchers` beside them; `written` is the receiving end of the items.

        Returns when all that was begun is committed.
        """
        async with beside([self._grace, *watchers]), anyio.create_task_group() as writing:
            writing.start_soon(self._stages.sink.consume, written)
            async with self._items:
                with self._work:
                    await self._run_stages()

    def drain(self) -> None:
        """Take on nothing new; what is in flight goes on."""
        self._intake.cancel()

    def give_up(self) -> None:
        """End the stages where they stand; what has reached the sink is still written."""
        self._work.cancel()

    async def _run_stages(self) -> None:
        stages = self._stages
        rows_in, rows_out = anyio.create_memory_object_stream[PendingRow](stages.preparers)
        ready_in, ready_out = anyio.create_memory_object_stream[PreparedRow](min(MOST_READY, stages.fetchers))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read_manifest, rows_in)
            for _ in range(stages.preparers):
                tasks.start_soon(stages.prepare, rows_out.clone(), ready_in.clone())
            for _ in range(stages.fetchers):
                tasks.start_soon(stages.fetch, ready_out.clone())
            for end in (rows_out, ready_in, ready_out):
                end.close()

    async def _read_manifest(self, rows: MemoryObjectSendStream[PendingRow]) -> None:
        with self._intake:
            await self._stages.manifest(rows)

    async def _grace(self) -> None:
        """Give what is in flight its time once the run is asked to stop."""
        await self._stop.asked.wait()
        await anyio.sleep(GRACE_SECONDS)
        self._work.cancel()


@asynccontextmanager
async def beside(watchers: Sequence[Watcher]) -> AsyncGenerator[None]:
    """Run watchers beside a block, and end them with it; an error that ends a run leaves the block as it is."""
    failure: PipelineError | None = None
    async with anyio.create_task_group() as tasks:
        for watcher in watchers:
            tasks.start_soon(watcher)
        try:
            yield
        except PipelineError as exc:  # raised below, where no task group wraps it
            failure = exc
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
