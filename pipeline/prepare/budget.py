"""A number of bytes shared by all workers: whoever does not fit waits, in the order of asking."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class Budget:
    """Bounds the bytes in work at once, not the tasks: one 48 MP picture weighs as much as a hundred small ones."""

    def __init__(self, total: int) -> None:
        self._free = total
        self._turn = anyio.Lock()
        self._returned = anyio.Event()

    @asynccontextmanager
    async def take(self, amount: int) -> AsyncIterator[None]:
        """Hold `amount` bytes, at most the total; the lock keeps a large picture from being overtaken for ever."""
        async with self._turn:
            while self._free < amount:
                await self._returned.wait()
            self._free -= amount
        try:
            yield
        finally:
            self._free += amount
            self._returned.set()
            self._returned = anyio.Event()
