"""Limits the requests in progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from pipeline.service.refusals import too_many_requests


class LoadLimit:
    """Counts the requests in progress; more than `capacity` are refused with a 429 before their body is read."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._in_progress = 0
        self._finished: anyio.Event | None = None

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Count one request while the block runs; raises Refused if the service is full."""
        if self._in_progress >= self._capacity:
            raise too_many_requests(
                1, f"{self._in_progress} requests are in progress, the most that this service accepts."
            )
        self._in_progress += 1
        try:
            yield
        finally:
            self._in_progress -= 1
            if self._finished is not None:
                self._finished.set()

    async def wait_until_idle(self, seconds: float) -> None:
        """Wait at most `seconds` until no request is in progress, including those whose body is still arriving."""
        with anyio.move_on_after(seconds):
            while self._in_progress:
                self._finished = anyio.Event()
                await self._finished.wait()
