"""Runs a few pieces of work at a time; the next is that of the caller who has used the least time lately."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

# Used time counts half after this many seconds.
HALF_LIFE = 10.0
_FORGOTTEN_BELOW = 0.001


class FairQueue:
    """At most `slots` pieces of work at a time. Those who wait are served by their callers' use, then in their order.

    So a caller with a hundred requests, or with pictures that take seconds, delays others by one piece of work.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: dict[str, deque[anyio.Event]] = {}
        self._used: dict[str, tuple[float, float]] = {}  # seconds, and when they were counted

    @asynccontextmanager
    async def slot(self, caller: str) -> AsyncIterator[None]:
        """Wait for a slot and hold it."""
        await self._acquire(caller)
        started = anyio.current_time()
        try:
            yield
        finally:
            self._count(caller, anyio.current_time() - started)
            self._release()

    async def _acquire(self, caller: str) -> None:
        if self._free:
            self._free -= 1
            return
        turn = anyio.Event()
        self._waiting.setdefault(caller, deque()).append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                self._release()
            else:
                self._remove(caller, turn)
            raise

    def _release(self) -> None:
        """Give a slot to the next caller."""
        if not self._waiting:
            self._free += 1
            return
        caller = min(self._waiting, key=self._use_of)
        turn = self._waiting[caller][0]
        self._remove(caller, turn)
        turn.set()

    def _remove(self, caller: str, turn: anyio.Event) -> None:
        self._waiting[caller].remove(turn)
        if not self._waiting[caller]:
            del self._waiting[caller]

    def _use_of(self, caller: str) -> float:
        seconds, at = self._used.get(caller, (0.0, 0.0))
        return seconds * math.exp2((at - anyio.current_time()) / HALF_LIFE)

    def _count(self, caller: str, seconds: float) -> None:
        self._used[caller] = self._use_of(caller) + seconds, anyio.current_time()
        if len(self._used) > 1000:
            self._used = {each: use for each, use in self._used.items() if self._use_of(each) > _FORGOTTEN_BELOW}
