"""Reads the text of pictures, each once: from the store, or else by the workers."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from pipeline.service.engine.analysis import read_file
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.findings import BadPicture, Engine, Findings, Item
from pipeline.service.refusals import Refused, not_yet, too_fast
from pipeline.service.text.readings import Part, Readings
from pipeline.service.text.store import TextStore
from pipeline.service.text.uris import find_uris
from pipeline.service.text.values import Text
from pipeline.service.text.workers import Unread, Workers, missing_package

# Seconds that a caller is kept waiting: most give up after a minute.
PATIENCE = 40.0
# Seconds after which callers are asked to come back.
AFTER_TROUBLE, LONGEST_WAIT = 5, 60
# So many pictures of up to 1 MB are at work or in the queue at once.
MOST_WAITING = 64
# So many rows of the catalogue are looked through in one go.
AT_ONCE = 500
log = logging.getLogger("pipeline.service")
_NEEDED = 'the service reads no text without the package {}; install the extra "service"'


class Reader:
    """What reads for the service; where a package is missing it says so for every picture."""

    def __init__(self, store: TextStore, workers: Workers | None = None) -> None:
        self.store = store
        self.workers = workers or Workers(os.cpu_count() or 1)
        self._readings = Readings(self.workers, store)
        self._patience = PATIENCE
        self._tasks: TaskGroup | None = None
        self._ahead = anyio.CancelScope()
        missing = missing_package()
        self.missing = Unread(reason=_NEEDED.format(missing)) if missing is not None else None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Reader]:
        """Read from now on; at the end, what is being read is dropped, and then the store is closed."""
        with closing(self.store):
            async with self._readings.open() as self._tasks:
                try:
                    yield self
                finally:
                    self._tasks = None

    async def read(self, part: Part, open_bytes: Callable[[], bytes]) -> Text | Unread:
        """Return the text of a part of a picture; only what was read is kept.

        `open_bytes` returns the picture or raises BadPicture; it is called, in a thread, if it must be read. What has
        been begun is finished even for a caller that goes away. Raises Refused where the caller had better ask again:
        it takes longer than most callers wait, or trouble got in the way that may pass.
        """
        if self.missing is not None:
            return self.missing
        with anyio.move_on_after(self._patience):
            read = await self._find(part, open_bytes)
            if isinstance(read, Unread) and read.again:
                raise not_yet(AFTER_TROUBLE, read.reason)
            return read
        raise self._busy()

    def read_ahead(self, engine: Engine) -> None:
        """Begin to read the catalogue's own pictures, one at a time and only while nobody asks, until all are read.

        Another call takes the place of the one before; none does anything unless the reader is open.
        """
        self._ahead.cancel()
        if self._tasks is not None and self.missing is None:
            self._ahead = anyio.CancelScope()
            self._tasks.start_soon(self._read_ahead, engine, self._ahead)

    async def _find(self, part: Part, open_bytes: Callable[[], bytes]) -> Text | Unread:
        if (given_up := self._readings.given_up(part)) is not None:
            return given_up
        if (known := await anyio.to_thread.run_sync(self.store.get, part.digest, part.crop)) is not None:
            return known
        if part not in self._readings and len(self._readings) >= MOST_WAITING:
            raise self._busy()
        try:
            picture = await anyio.to_thread.run_sync(_check, part.digest, open_bytes)
        except BadPicture as exc:
            return Unread(reason=f"the text can't be read: {exc}")
        return await self._readings.read(part, picture)

    def _busy(self) -> Refused:
        """Ask the caller to come back when all that is waiting now is read, its own picture among it."""
        seconds = min(self.workers.wait_for(len(self._readings)), LONGEST_WAIT)
        return too_fast(seconds, f"The text of {len(self._readings)} pictures is being read or waits for it.")

    async def _read_ahead(self, engine: Engine, scope: anyio.CancelScope) -> None:
        try:
            items = engine.items()
            with scope:
                while batch := await anyio.to_thread.run_sync(list, islice(items, AT_ONCE)):
                    for digest, file in await anyio.to_thread.run_sync(_unread, engine, self.store, batch):
                        await self.workers.idle()
                        await self._find(Part(digest=digest, crop=WHOLE), partial(read_file, file))
        except Exception as exc:  # whatever it is, those who ask are still answered
            log.warning("the catalogue's pictures are not read ahead any more: %s", exc)


def add_text(findings: Findings, read: Text | Unread) -> Findings:
    """Return findings with what is written in the picture, or with the reason why that can't be known."""
    others = tuple((kind, why) for kind, why in findings.unavailable if kind not in {"text", "uris"})
    if isinstance(read, Unread):
        return replace(findings, unavailable=(*others, ("text", read.reason), ("uris", read.reason)))
    return replace(findings, text=read, uris=find_uris(read.lines), unavailable=others)


def _check(digest: str, open_bytes: Callable[[], bytes]) -> bytes:
    picture = open_bytes()
    if sha256(picture).hexdigest() != digest:
        raise BadPicture("damaged", "the picture has changed since it was indexed")
    return picture


def _unread(engine: Engine, store: TextStore, items: Iterable[Item]) -> list[tuple[str, Path]]:
    """Return digest and file of the pictures that have not been read yet."""
    found = []
    for item in items:
        file = engine.picture(item.token) if item.token is not None else None
        if item.sha256 is not None and file is not None and store.get(item.sha256) is None:
            found.append((item.sha256, file))
    return found
