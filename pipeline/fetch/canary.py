"""A canary: the first request of a run goes alone, so that a bad key or endpoint costs one call."""

from __future__ import annotations

import anyio

from pipeline.fetch.once import Asks
from pipeline.records import Answer, Outcome, Request


class Canary:
    """Lets one request through `asks`, and all others when its answer is there."""

    def __init__(self, asks: Asks) -> None:
        self._asks = asks
        self._sent = False
        self._back = anyio.Event()

    async def ask(self, request: Request) -> tuple[Answer, Outcome]:
        """Send a request, the first one alone."""
        if self._sent:
            await self._back.wait()
            return await self._asks.ask(request)
        self._sent = True
        try:
            return await self._asks.ask(request)
        finally:
            self._back.set()
