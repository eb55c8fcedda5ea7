"""Pay once: equal questions are asked once, whether they come one after another, together, or on another night."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

import anyio

from pipeline.providers.base import Provider
from pipeline.records import Answer, Outcome, Request


class Asks(Protocol):
    """Sends a request and reads its answer: the fetcher."""

    async def ask(self, request: Request) -> tuple[Answer, Outcome]:
        """Return the answer and what it says."""


@dataclass(slots=True)
class _Flight:
    landed: anyio.Event = field(default_factory=anyio.Event)
    result: tuple[Answer, Outcome] | None = None


class Once:
    """Answers from the store, from an equal request in flight, or from the service.

    `stored` looks up a fingerprint. An answer stays at hand until `forget` says that the store has it.
    """

    def __init__(self, provider: Provider, asks: Asks, stored: Callable[[bytes], Answer | None]) -> None:
        self._provider = provider
        self._asks = asks
        self._stored = stored
        self._flights: dict[bytes, _Flight] = {}

    async def ask(self, request: Request) -> tuple[bytes, Answer, Outcome]:
        """Return the request's fingerprint, its answer (`from_store` unless this very call paid) and what it says."""
        fingerprint = request.fingerprint(self._provider.identity)
        while flight := self._flights.get(fingerprint):
            await flight.landed.wait()
            if flight.result is not None:
                answer, outcome = flight.result
                return fingerprint, replace(answer, from_store=True), outcome
        if answer := self._stored(fingerprint):
            return fingerprint, answer, self._provider.read(request, answer)
        return fingerprint, *await self._fly(fingerprint, request)

    def forget(self, fingerprints: Iterable[bytes]) -> None:
        """Let go of answers that the store has now, or that nobody shall share (a fault, not an answer)."""
        for fingerprint in fingerprints:
            self._flights.pop(fingerprint, None)

    async def _fly(self, fingerprint: bytes, request: Request) -> tuple[Answer, Outcome]:
        """Ask the service; those who wait for the same answer get it, or try themselves where this one was stopped."""
        flight = self._flights[fingerprint] = _Flight()
        try:
            flight.result = await self._asks.ask(request)
        except BaseException:
            del self._flights[fingerprint]
            raise
        finally:
            flight.landed.set()
        return flight.result
