"""A Fetcher that is opened when the first request comes: a night that has nothing to send starts no service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import anyio

from pipeline.errors import PipelineError
from pipeline.fetch.fetcher import Fetcher
from pipeline.fetch.pacing.pacer import IntakeClosed
from pipeline.records import Answer, Outcome, Request
from pipeline.runner.stop import Stop


class LazyFetcher:
    """Sends through the Fetcher that `make` opens; `died` waits for the early end of the service behind it."""

    def __init__(self, make: Callable[[], Awaitable[Fetcher]], died: Callable[[], Awaitable[PipelineError]]) -> None:
        self._make = make
        self._died = died
        self._fetcher: Fetcher | None = None
        self._lock = anyio.Lock()
        self._opening = anyio.CancelScope()
        self._is_open = anyio.Event()
        self._is_closed = False

    async def fetch(self, request: Request) -> tuple[Answer, Outcome]:
        """Return the answer and what it means; see Fetcher.fetch. Raises what opening does, too."""
        fetcher = self._fetcher
        if fetcher is None or self._is_closed:
            fetcher = await self.open()
        return await fetcher.fetch(request)

    async def open(self) -> Fetcher:
        """Open the Fetcher, once, also where that fails: the others that wait for it get IntakeClosed then.

        Raises ServiceError, Stalled, UsageError, and IntakeClosed where the intake is closed first.
        """
        async with self._lock:
            if self._fetcher is None and not self._is_closed:
                await self._open()
        if self._fetcher is None or self._is_closed:
            raise IntakeClosed
        return self._fetcher

    async def _open(self) -> None:
        try:
            with anyio.CancelScope() as self._opening:
                self._fetcher = await self._make()
                self._is_open.set()
        except PipelineError:
            self._is_closed = True
            raise

    def close_intake(self) -> None:
        """Let nothing new be sent or opened; what has been sent is finished."""
        self._is_closed = True
        self._opening.cancel()
        if self._fetcher is not None:
            self._fetcher.close_intake()

    def waits(self) -> bool:
        """Return True if nothing moves on purpose, which is no stall."""
        return self._lock.locked() or (self._fetcher is not None and self._fetcher.waits())

    def waits_for(self) -> str:
        """Return what the run waits for, in words for its progress; empty where it is at work."""
        if self._lock.locked():
            return "waiting for the index"
        if self._fetcher is None:
            return ""
        left = self._fetcher.paused_for
        until = f"paused until {datetime.now() + timedelta(seconds=left):%H:%M:%S}" if left else ""
        return "; ".join(filter(None, (self._fetcher.trouble, until)))

    async def stop_when_service_dies(self, stop: Stop) -> None:
        """Ask to stop where the service ends before the run does."""
        await self._is_open.wait()
        stop.ask(await self._died())
