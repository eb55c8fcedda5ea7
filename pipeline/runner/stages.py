"""Wires the four stages on one task group; the only place that starts tasks.

manifest -> prepare -> fetch -> sink. A row that fails leaves its stage as a Failure, straight for the sink. A run that
is asked to stop takes on nothing new, finishes what is in flight within the grace time, commits, and says why.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from pipeline.errors import ManifestError, RowError, StopRun, UsageError
from pipeline.fetch.pacing.pacer import IntakeClosed
from pipeline.fetch.row_calls import Asked, ask_row
from pipeline.fetch.single_flight import SingleFlight
from pipeline.prepare.preparer import Preparer
from pipeline.providers.base import Provider
from pipeline.records import Failure, Prepared, Request, Row, image_name
from pipeline.report.tally import Tally
from pipeline.resume.changes import ChangeDetector, Changes, PendingRow
from pipeline.runner.stop import GRACE_SECONDS, Stop
from pipeline.schema import Insights
from pipeline.sink.outcome import failed_row, problem_failure, record_row, row_failure
from pipeline.sink.record import build_record
from pipeline.sink.sink import Item, Sink

Watcher = Callable[[], Coroutine[None, None, None]]
MOST_READY = 8  # pictures that wait for a permit, up to 1 MB each


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A row that can be asked: its picture is within the limits, its requests are built."""

    pending_row: PendingRow
    row: Row
    prepared: Prepared | None = field(repr=False)
    requests: Sequence[Request] = field(repr=False)


@dataclass(slots=True, kw_only=True)
class Stages:
    """One run over the rows that `sifted` yields.

    `watchers` run beside the stages and end with them. `judge` looks at the tally after every failure, `askers` is how
    many rows may be asked at once, `preparers` how many prepared, `limit` the most rows to do. `complete` tells
    afterwards whether every row was looked at.
    """

    changes: AsyncIterator[Changes]
    provider: Provider
    detector: ChangeDetector
    preparer: Preparer
    single_flight: SingleFlight
    sink: Sink
    items: MemoryObjectSendStream[Item]
    tally: Tally
    stop: Stop
    judge: Callable[[], None]
    askers: int
    preparers: int
    watchers: Sequence[Watcher] = ()
    limit: int | None = None
    complete: bool = False
    _intake: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    _stages: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    async def execute(self, written: MemoryObjectReceiveStream[Item]) -> None:
        """Run all stages; `written` is the receiving end of `items`. Returns when all that was begun is committed."""
        async with beside([self._grace, *self.watchers]), anyio.create_task_group() as writing:
            writing.start_soon(self.sink.consume, written)
            async with self.items:
                with self._stages:
                    await self._run_stages()

    def drain(self) -> None:
        """Take on nothing new; what is in flight goes on."""
        self._intake.cancel()

    def give_up(self) -> None:
        """End the stages where they stand; what has reached the sink is still written."""
        self._stages.cancel()

    async def _run_stages(self) -> None:
        todo_in, todo_out = anyio.create_memory_object_stream[PendingRow](self.preparers)
        ready_in, ready_out = anyio.create_memory_object_stream[Ready](min(MOST_READY, self.askers))
        async with anyio.create_task_group() as stages:
            stages.start_soon(self._produce, todo_in)
            for _ in range(self.preparers):
                stages.start_soon(self._prepare, todo_out.clone(), ready_in.clone())
            for _ in range(self.askers):
                stages.start_soon(self._fetch, ready_out.clone())
            for end in (todo_out, ready_in, ready_out):
                end.close()

    async def _produce(self, pending_rows: MemoryObjectSendStream[PendingRow]) -> None:
        """Stage 1: take the rows that the ledger doesn't have, and send them on."""
        with self._intake:
            async with pending_rows:
                try:
                    async for changes in self.changes:
                        if not await self._take_on(changes, pending_rows):
                            return
                except IntakeClosed:
                    return
                except ManifestError as exc:  # some of it was read and sent: this is no exit 2 any more
                    self.stop.ask(StopRun(str(exc)))
                    return
                except (StopRun, UsageError) as exc:
                    self.stop.ask(exc)
                    return
                self.complete = True

    async def _take_on(self, changes: Changes, pending_rows: MemoryObjectSendStream[PendingRow]) -> bool:
        """Send on one batch; return False where the limit of rows is reached."""
        self.tally.changes(changes.rows, changes.done_before, changes.failed_before)
        if changes.open_checkpoint is not None:
            await self.items.send(changes.open_checkpoint)
        for pending_row in changes.pending_row:
            if self.limit is not None and self.tally.begun >= self.limit:
                return False
            self.tally.begun += 1
            if isinstance(pending_row.item, Failure):
                await self._fail(pending_row, pending_row.item)
            else:
                await pending_rows.send(pending_row)
        return True

    async def _prepare(
        self, pending_rows: MemoryObjectReceiveStream[PendingRow], readies: MemoryObjectSendStream[Ready]
    ) -> None:
        """Stage 2: bring each row's picture within the limits and build its requests."""
        async with pending_rows, readies:
            async for pending_row in pending_rows:
                if self.stop.cause is None and isinstance(pending_row.item, Row):
                    ready = await self._ready(pending_row, pending_row.item)
                    if ready is not None:
                        await readies.send(ready)

    async def _ready(self, pending_row: PendingRow, row: Row) -> Ready | None:
        try:
            prepared = await self.preparer.prepare(row)
            requests = self.provider.requests(row, prepared)
        except RowError as exc:
            await self._fail(pending_row, row_failure(row, exc))
            return None
        if prepared is not None:
            self.tally.prepared(prepared)
        return Ready(pending_row=pending_row, row=row, prepared=prepared, requests=requests)

    async def _fetch(self, readies: MemoryObjectReceiveStream[Ready]) -> None:
        """Stage 3: ask for each row, and hand its line to the sink."""
        async with readies:
            async for ready in readies:
                if self.stop.cause is None:
                    await self._ask(ready)

    async def _ask(self, ready: Ready) -> None:
        try:
            asked = await ask_row(self.single_flight, ready.requests)
        except IntakeClosed:
            return
        except (StopRun, UsageError) as exc:
            self.stop.ask(exc)
            return
        if asked.problem is not None:
            # Only the refusal is forgotten by a retry: what was answered well before it is paid for and stays.
            failure = problem_failure(ready.row, asked.problem, asked.answers)
            await self._fail(ready.pending_row, failure, asked.prints[-1:])
        elif asked.reading is not None:
            await self._record(ready, asked, asked.reading.insights)

    async def _record(self, ready: Ready, asked: Asked, insights: Insights) -> None:
        record = build_record(self.provider.name, ready.row, ready.prepared, asked.answers, insights)
        self.tally.recorded(record)
        source = ready.prepared.source.sha256 if ready.prepared else image_name(ready.row.image)
        question = self.detector.question(ready.pending_row, source)
        asked_at = min(answer.asked_at for answer in asked.answers)
        await self.items.send(record_row(ready.pending_row, record, asked_at, question, asked.prints))

    async def _fail(self, pending_row: PendingRow, failure: Failure, prints: Sequence[bytes] = ()) -> None:
        self.tally.failing(failure)
        if not (failure.retryable and pending_row.has_record):  # the record of an earlier run is better than none
            await self.items.send(failed_row(pending_row, failure, time.time(), prints))
        self.judge()

    async def _grace(self) -> None:
        """Give what is in flight its time once the run is asked to stop."""
        await self.stop.asked.wait()
        await anyio.sleep(GRACE_SECONDS)
        self._stages.cancel()


@asynccontextmanager
async def beside(watchers: Sequence[Watcher]) -> AsyncGenerator[None]:
    """Run watchers beside a block, and end them with it."""
    async with anyio.create_task_group() as tasks:
        for watcher in watchers:
            tasks.start_soon(watcher)
        yield
        tasks.cancel_scope.cancel()
