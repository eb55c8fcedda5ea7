"""Returns the text of pictures: from the store, or else from the workers."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import islice

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from pipeline.service.engine.pictures import WHOLE
from pipeline.service.findings import BadPicture, Engine, Findings, Item
from pipeline.service.refusals import Refused, temporary_failure, too_many_requests
from pipeline.service.text.read_queue import NOBODY, PicturePart, QueueFull, ReadQueue
from pipeline.service.text.recognised_text import RecognisedText
from pipeline.service.text.store import TextStore
from pipeline.service.text.uris import find_uris
from pipeline.service.text.workers import OcrWorkers, ReadFailure, missing_package

# The seconds that a request waits for its text; most clients give up after a minute.
MAX_WAIT_SECONDS = 40.0
# Retry-After in seconds: after a failure, and at most when the queue is full.
RETRY_AFTER_FAILURE, MAX_RETRY_AFTER = 5, 60
# Rows of the catalogue that are checked at a time when reading ahead.
BATCH = 500
log = logging.getLogger("pipeline.service")
_MISSING = 'the service reads no text without the package {}; install the extra "service"'


class TextReader:
    """Reads text for the service; if a package is missing, every picture gets that as the reason."""

    def __init__(self, store: TextStore, workers: OcrWorkers | None = None) -> None:
        self.store = store
        self.workers = workers or OcrWorkers(os.cpu_count() or 1)
        self._queue = ReadQueue(self.workers, store)
        self._max_wait = MAX_WAIT_SECONDS
        self._tasks: TaskGroup | None = None
        self._ahead = anyio.CancelScope()
        missing = missing_package()
        self.missing = ReadFailure(reason=_MISSING.format(missing)) if missing is not None else None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[TextReader]:
        """Accept reads; at the end, drop those in progress, and then close the store."""
        with closing(self.store):
            async with self._queue.open() as self._tasks:
                try:
                    yield self
                finally:
                    self._tasks = None

    async def read(
        self, part: PicturePart, open_bytes: Callable[[], bytes], caller: str = NOBODY
    ) -> RecognisedText | ReadFailure:
        """Return the text of a part of a picture, or why it can't be read.

        `open_bytes` returns the picture or raises BadPicture; it is called in a thread, and only if the text is not
        stored. A read that was started is finished even if its caller leaves. Raises Refused with a Retry-After if it
        takes longer than most callers wait, or failed for a reason that may pass.
        """
        if self.missing is not None:
            return self.missing
        with anyio.move_on_after(self._max_wait):
            result = await self._stored_or_read(part, open_bytes, caller)
            if isinstance(result, ReadFailure) and result.retryable:
                raise temporary_failure(RETRY_AFTER_FAILURE, result.reason)
            return result
        raise self._overloaded()

    def read_ahead(self, engine: Engine) -> None:
        """Start to read the catalogue's own pictures, one at a time and only while no request needs a worker.

        A second call replaces the first one. Does nothing if the reader is not open.
        """
        self._ahead.cancel()
        if self._tasks is not None and self.missing is None:
            self._ahead = anyio.CancelScope()
            self._tasks.start_soon(self._read_ahead, engine, self._ahead)

    async def _stored_or_read(
        self, part: PicturePart, open_bytes: Callable[[], bytes], caller: str = NOBODY
    ) -> RecognisedText | ReadFailure:
        if (failure := self._queue.take_final_failure(part)) is not None:
            return failure
        if (stored := await anyio.to_thread.run_sync(self.store.get, part.sha256, part.crop)) is not None:
            return stored
        if not self._queue.has_room(part, caller):
            raise self._overloaded()
        try:
            picture = await anyio.to_thread.run_sync(_open_unchanged, part.sha256, open_bytes)
        except BadPicture as exc:
            return ReadFailure(reason=f"the text can't be read: {exc}")
        try:
            return await self._queue.read(part, picture, caller)
        except QueueFull:
            raise self._overloaded() from None

    def _overloaded(self) -> Refused:
        """Return the refusal that asks the caller to come back when everything that is pending now is read."""
        seconds = min(self.workers.estimate_seconds(len(self._queue)), MAX_RETRY_AFTER)
        return too_many_requests(seconds, f"The text of {len(self._queue)} pictures is being read or waits for it.")

    async def _read_ahead(self, engine: Engine, scope: anyio.CancelScope) -> None:
        try:
            items = engine.items()
            with scope:
                while batch := await anyio.to_thread.run_sync(list, islice(items, BATCH)):
                    for digest, token in await anyio.to_thread.run_sync(_without_text, self.store, batch):
                        await self.workers.wait_until_idle()
                        part = PicturePart(sha256=digest, crop=WHOLE)
                        await self._stored_or_read(part, partial(engine.read_picture, token))
        except Exception as exc:  # whatever it is, requests are still answered
            log.warning("the service stops reading the catalogue's pictures ahead: %s", exc)


def add_text(findings: Findings, result: RecognisedText | ReadFailure) -> Findings:
    """Return findings with the text of the picture, or with the reason why it is unavailable."""
    others = tuple((kind, reason) for kind, reason in findings.unavailable if kind not in {"text", "uris"})
    if isinstance(result, ReadFailure):
        return replace(findings, unavailable=(*others, ("text", result.reason), ("uris", result.reason)))
    return replace(findings, text=result, uris=find_uris(result.lines), unavailable=others)


def _open_unchanged(digest: str, open_bytes: Callable[[], bytes]) -> bytes:
    picture = open_bytes()
    if sha256(picture).hexdigest() != digest:
        raise BadPicture("damaged", "the picture has changed since it was indexed")
    return picture


def _without_text(store: TextStore, items: Iterable[Item]) -> list[tuple[str, str]]:
    """Return SHA-256 and token of the pictures whose text is not stored."""
    pictures = ((item.sha256, item.token) for item in items if item.token and item.sha256)
    return [(digest, token) for digest, token in pictures if store.get(digest) is None]
