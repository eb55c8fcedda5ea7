"""What a run asks, opened when the first request comes: a night that has nothing to ask starts no service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import anyio
from anyio.abc import Process

from pipeline.errors import PipelineError, ServiceError
from pipeline.fetch.fetcher import Fetcher
from pipeline.fetch.pacing.pacer import IntakeClosed
from pipeline.records import Answer, Outcome, Request
from pipeline.runner.stop import Stop


class LazyFetcher:
    """Asks through the Fetcher that `make` opens, with the process of the embedded service where it starts one."""

    def __init__(self, make: Callable[[], Awaitable[tuple[Fetcher, Process | None]]]) -> None:
        self._make = make
        self._fetcher: Fetcher | None = None
        self._process: Process | None = None
        self._one = anyio.Lock()
        self._opening = anyio.CancelScope()
        self._is_open = anyio.Event()
        self._is_closed = False

    async def ask(self, request: Request) -> tuple[Answer, Outcome]:
        """Return the answer and what it means; see Fetcher.ask. Raises what opening does, too."""
        if self._fetcher is None or self._is_closed:
            await self.open()
        assert self._fetcher is not None
        return await self._fetcher.ask(request)

    async def open(self) -> None:
        """Open what asks, once, also where that fails: whoever waited for it gets IntakeClosed then.

        Raises ServiceError, Stalled, UsageError, and IntakeClosed where the intake is closed first.
        """
        async with self._one:
            if self._fetcher is None and not self._is_closed:
                await self._open()
        if self._fetcher is None or self._is_closed:
            raise IntakeClosed

    async def _open(self) -> None:
        try:
            with anyio.CancelScope() as self._opening:
                self._fetcher, self._process = await self._make()
                self._is_open.set()
        except PipelineError:
            self._is_closed = True
            raise

    def close_intake(self) -> None:
        """Let nothing new be asked or opened; what has been sent is finished."""
        self._is_closed = True
        self._opening.cancel()
        if self._fetcher is not None:
            self._fetcher.close_intake()

    def waits(self) -> bool:
        """Tell whether nothing moves on purpose, for whoever watches for a stall."""
        return self._one.locked() or (self._fetcher is not None and self._fetcher.waits())

    def waits_for(self) -> str:
        """Return what the run waits for, in words for its progress; nothing where it is at work."""
        if self._one.locked():
            return "waiting for the index"
        if self._fetcher is None:
            return ""
        left = self._fetcher.paused_for
        until = f"paused until {datetime.now() + timedelta(seconds=left):%H:%M:%S}" if left else ""
        return "; ".join(filter(None, (self._fetcher.trouble, until)))

    async def outlive(self, stop: Stop) -> None:
        """Ask to stop where the embedded service dies before the run does."""
        await self._is_open.wait()
        if self._process is not None:
            code = await self._process.wait()
            said = f"the embedded service has died (exit code {code}); see service.log, and run again"
            stop.ask(ServiceError(said))
