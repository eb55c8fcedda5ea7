"""The stages of a run as callables over streams: manifest -> prepare -> fetch, and the outbox on the way to the sink.

A row that fails leaves its stage as a Failure, straight for the sink.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from anyio import CancelScope
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from pipeline.errors import RowError, StopRun, TableError, UsageError
from pipeline.fetch.pacing.pacer import IntakeClosed
from pipeline.fetch.reading import unreadable
from pipeline.fetch.row_calls import RowAnswers, fetch_row
from pipeline.fetch.single_flight import SingleFlight
from pipeline.prepare.preparer import Preparer
from pipeline.providers.base import Provider
from pipeline.records import Failure, Prepared, Request, Row, image_name
from pipeline.report.tally import Tally
from pipeline.resume.changes import ChangeDetector, Changes, PendingRow
from pipeline.resume.keys import local_picture
from pipeline.runner.stop import Stop
from pipeline.schema import Insights
from pipeline.sink.outcome import failed_row, problem_failure, record_row, row_failure
from pipeline.sink.output_lines import build_record
from pipeline.sink.sink import Item
from pipeline.state.checkpoints import OpenCheckpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRow:
    """A row that can be sent: its picture is within the limits, its requests are built."""

    pending: PendingRow
    row: Row
    prepared: Prepared | None = field(repr=False)
    requests: Sequence[Request] = field(repr=False)

    @property
    def thumbnail(self) -> bytes:
        """The picture's thumbnail, empty where there is none."""
        return self.prepared.thumbnail if self.prepared else b""


HandOn = Callable[[PreparedRow], Awaitable[None]]


class Outbox:
    """Where rows end: counts them, hands their lines to the sink, and lets `judge` look after each failure."""

    def __init__(
        self, items: MemoryObjectSendStream[Item], tally: Tally, detector: ChangeDetector, judge: Callable[[], None]
    ) -> None:
        self._items = items
        self._tally = tally
        self._detector = detector
        self._judge = judge

    async def begin(self, checkpoint: OpenCheckpoint) -> None:
        """Announce a checkpoint before the rows that fill it."""
        await self._items.send(checkpoint)

    async def record(self, ready: PreparedRow, answers: RowAnswers, insights: Insights, provider: Provider) -> None:
        """Hand over a row with its record."""
        exchanges = list(zip(answers.requests, answers.answers, strict=True))
        source = ready.prepared.source.sha256 if ready.prepared else image_name(ready.row.image)
        cache_key = self._detector.cache_key(ready.pending, source)
        asked_at = min(answer.asked_at for answer in answers.answers)
        try:
            record = build_record(provider, ready.row, ready.prepared, exchanges, insights)
            finished = record_row(
                ready.pending, record, asked_at, cache_key, answers.fingerprints, thumbnail=ready.thumbnail
            )
        except Exception as exc:
            message = f"no record can be written of the answer ({type(exc).__name__}: {exc})"
            problem = unreadable("unwritable-record", message, answers.answers[-1])
            failure = problem_failure(ready.row, problem, answers.answers)
            await self.fail(ready.pending, failure, answers.fingerprints, thumbnail=ready.thumbnail)
            return
        self._tally.count_record(record)
        await self._items.send(finished)

    async def fail(
        self, pending: PendingRow, failure: Failure, fingerprints: Sequence[bytes] = (), *, thumbnail: bytes = b""
    ) -> None:
        """Hand over a row that has failed; the record of an earlier run is better than a failure that may pass.

        A picture that can't be read may be there again tomorrow, whatever the reason.
        """
        if failure.stage == "source" and pending.has_record:
            failure = replace(failure, retryable=True)
            picture = local_picture(pending.item)
            self._tally.count_missing(failure.code, picture.path if picture else None)
        self._tally.count_failure(failure)
        if not (failure.retryable and pending.has_record):
            await self._items.send(failed_row(pending, failure, time.time(), fingerprints, thumbnail))
        self._judge()


class ManifestStage:
    """Stage 1: takes the rows that are left to do, and sends them on.

    `limit` is the most rows to do. `is_complete` tells afterwards whether every row was looked at.
    """

    def __init__(
        self, changes: AsyncIterator[Changes], outbox: Outbox, tally: Tally, stop: Stop, limit: int | None
    ) -> None:
        self.is_complete = False
        self._changes = changes
        self._outbox = outbox
        self._tally = tally
        self._stop = stop
        self._limit = limit

    async def __call__(self, rows: MemoryObjectSendStream[PendingRow]) -> None:
        """Run until all rows are sent, the limit is reached, or the run is asked to stop."""
        async with rows:
            try:
                async for changes in self._changes:
                    if not await self._take_on(changes, rows):
                        return
            except IntakeClosed:
                return
            except TableError as exc:  # some of it was read and sent: this is no exit 2 any more
                self._stop.ask(StopRun(str(exc)))
                return
            except (StopRun, UsageError) as exc:
                self._stop.ask(exc)
                return
            self.is_complete = True

    async def _take_on(self, changes: Changes, rows: MemoryObjectSendStream[PendingRow]) -> bool:
        """Send on one batch; return False where the limit of rows is reached."""
        self._tally.count_batch(changes.rows, changes.done_before, changes.failed_before, changes.skipped)
        if changes.open_checkpoint is not None:
            await self._outbox.begin(changes.open_checkpoint)
        for pending in changes.pending_rows:
            if self._limit is not None and self._tally.begun >= self._limit:
                return False
            self._tally.begun += 1
            if isinstance(pending.item, Failure):
                await self._outbox.fail(pending, pending.item)
            else:
                await rows.send(pending)
        return True


class PrepareStage:
    """Stage 2: brings each row's picture within the limits and builds its requests."""

    def __init__(self, provider: Provider, preparer: Preparer, outbox: Outbox, tally: Tally, stop: Stop) -> None:
        self._provider = provider
        self._preparer = preparer
        self._at_work: set[CancelScope] = set()
        self._outbox = outbox
        self._tally = tally
        self._stop = stop

    async def __call__(
        self, rows: MemoryObjectReceiveStream[PendingRow], ready_rows: MemoryObjectSendStream[PreparedRow]
    ) -> None:
        """Run until the rows end; a run that is asked to stop drops what is left of them."""
        async with rows, ready_rows:
            async for pending in rows:
                if self._stop.cause is None and isinstance(pending.item, Row):
                    await self._prepare(pending, pending.item, ready_rows.send)

    def give_up(self) -> None:
        """Prepare nothing more; what would be prepared now would not be sent, and a download may take long."""
        for scope in self._at_work:
            scope.cancel()

    async def with_bytes(self, ready: PreparedRow) -> PreparedRow | None:
        """Prepare a row again whose picture was sent as a URL; None where it has failed, or the run has to stop."""
        again: list[PreparedRow] = []

        async def take(row: PreparedRow) -> None:
            again.append(row)

        await self._prepare(ready.pending, ready.row, take, as_bytes=True)
        return again[0] if again else None

    async def _prepare(self, pending: PendingRow, row: Row, hand_on: HandOn, *, as_bytes: bool = False) -> None:
        """Prepare a row and hand it on; until it is taken, its picture keeps its place in memory."""
        failure: RowError | None = None
        with CancelScope() as scope:
            self._at_work.add(scope)
            try:
                async with self._preparer.picture(row, as_bytes=as_bytes) as prepared:
                    requests = self._provider.requests(row, prepared)
                    if prepared is not None:
                        self._tally.count_prepared(prepared)
                    await hand_on(PreparedRow(pending=pending, row=row, prepared=prepared, requests=requests))
            except RowError as exc:
                failure = exc
            finally:
                self._at_work.discard(scope)
        if failure is not None:
            await self._outbox.fail(pending, row_failure(row, failure))


class FetchStage:
    """Stage 3: sends each row's requests, and hands its record or its failure to the outbox.

    `with_bytes` prepares a row again whose picture the service could not load from its URL.
    """

    def __init__(
        self,
        provider: Provider,
        single_flight: SingleFlight,
        outbox: Outbox,
        stop: Stop,
        with_bytes: Callable[[PreparedRow], Awaitable[PreparedRow | None]],
    ) -> None:
        self._provider = provider
        self._single_flight = single_flight
        self._outbox = outbox
        self._stop = stop
        self._with_bytes = with_bytes

    async def __call__(self, ready_rows: MemoryObjectReceiveStream[PreparedRow]) -> None:
        """Run until the rows end; a run that is asked to stop drops what is left of them."""
        async with ready_rows:
            async for ready in ready_rows:
                if self._stop.cause is None:
                    await self._fetch(ready)

    async def _fetch(self, ready: PreparedRow) -> None:
        try:
            answers = await fetch_row(self._single_flight, ready.requests)
            if answers.problem is not None and answers.problem.needs_bytes and ready.prepared is None:
                again = await self._with_bytes(ready)
                if again is None:
                    return
                ready, answers = again, await fetch_row(self._single_flight, again.requests, before=answers)
        except IntakeClosed:
            return
        except (StopRun, UsageError) as exc:
            self._stop.ask(exc)
            return
        if answers.problem is not None:
            # Only the refusal is forgotten by a retry: what was answered well before it is paid for and stays.
            failure = problem_failure(ready.row, answers.problem, answers.answers)
            await self._outbox.fail(ready.pending, failure, answers.fingerprints[-1:], thumbnail=ready.thumbnail)
        elif answers.reading is not None:
            await self._outbox.record(ready, answers, answers.reading.insights, self._provider)
