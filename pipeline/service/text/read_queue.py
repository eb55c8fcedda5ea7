"""Reads each part of a picture once for all callers who ask for it; a read goes on when its callers have left."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from pipeline.service.access.fair_share import FairShare
from pipeline.service.findings import Crop
from pipeline.service.text.recognised_text import RecognisedText
from pipeline.service.text.store import TextStore
from pipeline.service.text.workers import OcrWorkers, ReadFailure

# A failure that is retryable, such as a lack of memory, becomes final after so many attempts.
MAX_ATTEMPTS = 3
MAX_FAILURES_KEPT = 10_000
# Pictures in progress or in the queue, of up to 1 MB each; one caller may have half of them.
MAX_PENDING = 96
# The caller that reads ahead.
NOBODY = ""
log = logging.getLogger("pipeline.service")
STOPPING = ReadFailure(reason="the service is stopping", retryable=True)


class QueueFull(Exception):
    """A caller has as many pictures in the queue as it may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturePart:
    """A part of the picture with the SHA-256 `sha256`; the text of a `permanent` one is stored for good."""

    sha256: str
    crop: Crop
    permanent: bool = field(default=True, compare=False)


@dataclass(slots=True, kw_only=True)
class _PendingRead:
    """A read in progress or in the queue; `result` is valid once `done` is set."""

    done: anyio.Event
    result: RecognisedText | ReadFailure = STOPPING


class ReadQueue:
    """The reads in progress and in the queue, and the latest failures."""

    def __init__(self, workers: OcrWorkers, store: TextStore) -> None:
        self._workers = workers
        self._store = store
        self._pending: dict[PicturePart, _PendingRead] = {}
        self._share = FairShare(MAX_PENDING)
        self._failures: OrderedDict[PicturePart, tuple[int, ReadFailure]] = OrderedDict()
        self._tasks: TaskGroup | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[TaskGroup]:
        """Accept reads and yield the task group they run in; reads that are not done at the end are dropped."""
        async with anyio.create_task_group() as self._tasks:
            try:
                yield self._tasks
            finally:
                self._tasks.cancel_scope.cancel()
                self._tasks = None

    def __len__(self) -> int:
        """Return how many reads are in progress or in the queue."""
        return len(self._pending)

    def has_room(self, part: PicturePart, caller: str) -> bool:
        """Return True if a caller may read a part: it is pending already, or the caller has not used up its share."""
        return part in self._pending or self._share.has_room(caller)

    def take_final_failure(self, part: PicturePart) -> ReadFailure | None:
        """Return the final failure of a part whose callers had all left, and forget it."""
        _, failure = self._failures.get(part, (0, None))
        return self._forget(part, failure) if failure is not None and not failure.retryable else None

    async def read(self, part: PicturePart, picture: bytes, caller: str = NOBODY) -> RecognisedText | ReadFailure:
        """Read a part of a picture, or wait for the read of it that is pending; raises QueueFull."""
        pending = self._pending.get(part) or self._start(part, picture, caller)
        await pending.done.wait()
        result = pending.result
        return result if isinstance(result, RecognisedText) or result.retryable else self._forget(part, result)

    def _start(self, part: PicturePart, picture: bytes, caller: str) -> _PendingRead:
        pending = _PendingRead(done=anyio.Event())
        if self._tasks is None:
            pending.done.set()
            return pending
        if not self._share.take(caller):
            raise QueueFull
        self._pending[part] = pending
        self._tasks.start_soon(self._run, part, picture, caller, pending)
        return pending

    async def _run(self, part: PicturePart, picture: bytes, caller: str, pending: _PendingRead) -> None:
        try:
            pending.result = self._count_failure(part, await self._read(part, picture, caller))
        except Exception:  # a bug must not stop the service or leave callers waiting
            log.exception("the text of a picture was not read")
            failure = ReadFailure(reason="reading the text of this picture failed", retryable=True)
            pending.result = self._count_failure(part, failure)
        finally:
            del self._pending[part]
            self._share.give_back(caller)
            pending.done.set()

    async def _read(self, part: PicturePart, picture: bytes, caller: str) -> RecognisedText | ReadFailure:
        # Another read of this part may have ended since the caller looked into the store.
        if (stored := await anyio.to_thread.run_sync(self._store.get, part.sha256, part.crop)) is not None:
            return stored
        result = await self._workers.read(picture, part.crop, caller)
        if isinstance(result, RecognisedText):
            await anyio.to_thread.run_sync(self._keep, part, result)
        return result

    def _keep(self, part: PicturePart, text: RecognisedText) -> None:
        self._store.put(part.sha256, part.crop, text, permanent=part.permanent)

    def _count_failure(self, part: PicturePart, result: RecognisedText | ReadFailure) -> RecognisedText | ReadFailure:
        """Count a retryable failure, and make the last allowed one final."""
        if isinstance(result, RecognisedText) or not result.retryable:
            self._failures.pop(part, None)
            return result
        attempts = self._failures.pop(part, (0, result))[0] + 1
        failure = replace(result, retryable=attempts < MAX_ATTEMPTS)
        self._failures[part] = attempts, failure
        if len(self._failures) > MAX_FAILURES_KEPT:
            self._failures.popitem(last=False)
        return failure

    def _forget(self, part: PicturePart, failure: ReadFailure) -> ReadFailure:
        """Forget the failures of a part once a caller has the reason: the next request starts again."""
        self._failures.pop(part, None)
        return failure
