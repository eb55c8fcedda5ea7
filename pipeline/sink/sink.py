"""Stage 4: one writer for everything, in the order that leaves each row in the output exactly once.

(1) Answers are committed with their requests as they come in, (2) lines are appended whole and synced, (3) rows are
marked done together with the committed length of the files. A kill between any two of them costs nothing and repeats
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from pipeline.errors import OutputError
from pipeline.records import Answer, Request
from pipeline.resume.open_checkpoints import OpenCheckpoints
from pipeline.sink.finish import append_changes, compact_job
from pipeline.sink.job_files import CHANGES, STATES, Job
from pipeline.sink.superseded import supersede
from pipeline.state.checkpoints import OpenCheckpoint
from pipeline.state.ledger import LedgerEntry

BATCH_SECONDS = 0.25
BATCH_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """An answer that was paid for and must not be lost, with the request it answers (without its picture)."""

    fingerprint: bytes
    request: Request
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A row with its line (ending in a newline) for the file that `entry.state` names; the sink adds its offset."""

    entry: LedgerEntry
    line: bytes = field(repr=False)
    thumbnail: bytes = field(default=b"", repr=False)


Item = Paid | Finished | OpenCheckpoint


class Sink:
    """Writes what the stages send; calls `stored` with the fingerprints and `written` with the rows that are committed.

    When the disk refuses, `broken` is called with the reason, once. From then on only answers that were paid for are
    taken, into the space that was kept for them; rows are dropped, and the next run rebuilds them from those answers.
    """

    def __init__(
        self,
        job: Job,
        *,
        stored: Callable[[Sequence[bytes]], None],
        written: Callable[[Sequence[LedgerEntry]], None],
        broken: Callable[[OutputError], None],
    ) -> None:
        self._job = job
        self._stored = stored
        self._written = written
        self._broken = broken
        self._is_broken = False
        self._thread = anyio.CapacityLimiter(1)
        self._waiting: list[Finished | OpenCheckpoint] = []
        self._open_checkpoints = OpenCheckpoints()

    async def consume(self, items: MemoryObjectReceiveStream[Item]) -> None:
        """Write until the stream ends; what has arrived is written even when the run is cancelled."""
        async with items:
            try:
                await self._until_closed(items)
            finally:
                await self._take_what_is_left(items)
                await self._flush()

    async def _take_what_is_left(self, items: MemoryObjectReceiveStream[Item]) -> None:
        """Take what was sent before a run was cancelled: it may have been paid for."""
        with suppress(anyio.WouldBlock, anyio.EndOfStream):
            while True:
                await self._take(items.receive_nowait())

    async def _until_closed(self, items: MemoryObjectReceiveStream[Item]) -> None:
        due = anyio.current_time() + BATCH_SECONDS
        while True:
            with anyio.move_on_at(due if self._waiting else float("inf")) as waited:
                try:
                    item = await items.receive()
                except anyio.EndOfStream:
                    return
                if not self._waiting:
                    due = anyio.current_time() + BATCH_SECONDS
                await self._take(item)
            if waited.cancelled_caught or len(self._waiting) >= BATCH_ROWS or anyio.current_time() >= due:
                await self._flush()

    async def _take(self, item: Item) -> None:
        if not isinstance(item, Paid):
            self._waiting.append(item)
            return
        put = partial(self._job.state.answers.put, [(item.fingerprint, item.request, item.answer)])
        # The second attempt has the reserve's space, which the first one released if the disk was full.
        if await self._done(put) or await self._done(put):
            self._stored([item.fingerprint])

    async def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        for open_checkpoint in batch:
            if isinstance(open_checkpoint, OpenCheckpoint):
                self._open_checkpoints.begin(open_checkpoint)
        rows = [row for row in batch if isinstance(row, Finished)]
        complete = self._open_checkpoints.finish([row.entry for row in rows])
        write = partial(write_batch, self._job, rows, complete)
        if (rows or complete) and not self._is_broken and await self._done(write):
            self._written([row.entry for row in rows])

    async def _done(self, write: Callable[[], None]) -> bool:
        """Write in the sink's thread, uninterrupted; return False where the disk refuses."""
        with anyio.CancelScope(shield=True):
            try:
                await anyio.to_thread.run_sync(write, limiter=self._thread)
            except OutputError as exc:
                if not self._is_broken:
                    self._is_broken = True
                    self._job.reserve.release()
                    self._broken(exc)
                return False
        return True

    async def compact(self, *, prune: bool, history: float) -> None:
        """After a run through the whole manifest, drop the rows that left it and compact the files: see compact_job."""
        await anyio.to_thread.run_sync(compact_job, self._job, prune, history, limiter=self._thread)


def write_batch(job: Job, batch: Sequence[Finished], complete: Sequence[OpenCheckpoint] = ()) -> None:
    """Append the lines of a batch; mark its rows, the checkpoints they complete, and the files' lengths.

    What its rows change is appended too, and what they supersede goes to the history, in the same commit.
    """
    now = time.time()
    superseded = supersede(job, [(item.entry, item.line) for item in batch], now)
    entries = []
    for name, output in job.outputs.items():
        items = [item for item in batch if item.entry.state in STATES[name]]
        offsets = output.append([item.line for item in items]) if items else []
        entries += [
            replace(item.entry, offset=offset, length=len(item.line))
            for item, offset in zip(items, offsets, strict=True)
        ]
    append_changes(job, superseded.changes)
    with job.state.database.transaction(synced=True):
        job.state.history.keep(superseded.records, now)
        job.state.commit(
            entries,
            complete,
            lengths={name: output.length for name, output in (*job.outputs.items(), (CHANGES, job.changes))},
            changed={name: output.changed() for name, output in job.outputs.items()},
        )
    job.thumbnails.put({item.entry.row_key: item.thumbnail for item in batch if item.thumbnail})
