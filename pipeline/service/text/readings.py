"""One reading for all who ask for the same part of a picture: it is the service's own, and outlives whoever asked."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from pipeline.service.findings import Crop
from pipeline.service.text.store import TextStore
from pipeline.service.text.values import Text
from pipeline.service.text.workers import Unread, Workers

# Trouble that may pass, such as too little memory, is taken for the picture's own after so many readings.
TRIES = 3
TROUBLES_KEPT = 10_000
log = logging.getLogger("pipeline.service")
STOPPING = Unread(reason="the service is stopping", again=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is read: a part of the picture whose SHA-256 is `digest`; the store keeps a `lasting` one for good."""

    digest: str
    crop: Crop
    lasting: bool = field(default=True, compare=False)


@dataclass(slots=True, kw_only=True)
class Reading:
    """A reading at work or in the queue; `read` counts once it is `done`."""

    done: anyio.Event
    read: Text | Unread = STOPPING


class Readings:
    """The readings at work and in the queue, and the trouble that pictures made lately."""

    def __init__(self, workers: Workers, store: TextStore) -> None:
        self._workers = workers
        self._store = store
        self._running: dict[Part, Reading] = {}
        self._troubles: OrderedDict[Part, tuple[int, Unread]] = OrderedDict()
        self._tasks: TaskGroup | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[TaskGroup]:
        """Let readings begin, in the task group that is returned; whatever is not done at the end is dropped."""
        async with anyio.create_task_group() as self._tasks:
            try:
                yield self._tasks
            finally:
                self._tasks.cancel_scope.cancel()
                self._tasks = None

    def __len__(self) -> int:
        """Return how many are at work or in the queue."""
        return len(self._running)

    def __contains__(self, part: Part) -> bool:
        """Tell whether a part is being read."""
        return part in self._running

    def given_up(self, part: Part) -> Unread | None:
        """Return why a part that nobody waited for in the end was given up; it is told once, then forgotten."""
        _, unread = self._troubles.get(part, (0, None))
        return self._forget(part, unread) if unread is not None and not unread.again else None

    async def read(self, part: Part, picture: bytes) -> Text | Unread:
        """Read a part of a picture, or wait for who reads it already."""
        reading = self._running.get(part) or self._begin(part, picture)
        await reading.done.wait()
        return (
            reading.read if isinstance(reading.read, Text) or reading.read.again else self._forget(part, reading.read)
        )

    def _begin(self, part: Part, picture: bytes) -> Reading:
        reading = Reading(done=anyio.Event())
        if self._tasks is None:
            reading.done.set()
            return reading
        self._running[part] = reading
        self._tasks.start_soon(self._work, part, picture, reading)
        return reading

    async def _work(self, part: Part, picture: bytes, reading: Reading) -> None:
        try:
            read = await self._workers.read(picture, part.crop)
            if isinstance(read, Text):
                await anyio.to_thread.run_sync(self._keep, part, read)
            reading.read = self._judge(part, read)
        except Exception:  # a bug, which must cost neither the service nor those who wait
            log.exception("a picture's text was not read")
            reading.read = self._judge(part, Unread(reason="reading this picture's text failed", again=True))
        finally:
            del self._running[part]
            reading.done.set()

    def _keep(self, part: Part, text: Text) -> None:
        self._store.put(part.digest, part.crop, text, lasting=part.lasting)

    def _judge(self, part: Part, read: Text | Unread) -> Text | Unread:
        """Take trouble that may pass for the picture's own when it came too often."""
        if isinstance(read, Text) or not read.again:
            self._troubles.pop(part, None)
            return read
        tries = self._troubles.pop(part, (0, read))[0] + 1
        judged = replace(read, again=tries < TRIES)
        self._troubles[part] = tries, judged
        if len(self._troubles) > TROUBLES_KEPT:
            self._troubles.popitem(last=False)
        return judged

    def _forget(self, part: Part, unread: Unread) -> Unread:
        """Forget the trouble of a part whose reason is told: whoever asks later has it read anew."""
        self._troubles.pop(part, None)
        return unread
