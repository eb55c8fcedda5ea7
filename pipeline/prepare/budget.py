"""A budget of bytes shared by all workers, granted in the order of the requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class Budget:
    """A limit on the bytes in use, not on the tasks: one 48 MP picture takes as much as a hundred small ones."""

    def __init__(self, total: int) -> None:
        self._free = total
        self._queue = anyio.Lock()
        self._released = anyio.Event()

    @asynccontextmanager
    async def take(self, amount: int) -> AsyncIterator[None]:
        """Hold `amount` bytes, at most the total; the queue keeps small amounts from overtaking a large one."""
        async with self._queue:
            while self._free < amount:
                await self._released.wait()
            self._free -= amount
        try:
            yield
        finally:
            self._free += amount
            self._released.set()
            self._released = anyio.Event()
