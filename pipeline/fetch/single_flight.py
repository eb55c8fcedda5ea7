"""Pay once: equal requests are sent once, whether they come one after another, together, or on another night."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

import anyio

from pipeline.fetch.reading import read_outcome
from pipeline.providers.base import AnswerReader
from pipeline.records import Answer, Outcome, Problem, Request


class Fetches(Protocol):
    """Sends a request and reads its answer: the fetcher."""

    async def fetch(self, request: Request) -> tuple[Answer, Outcome]:
        """Return the answer and what it says."""


@dataclass(slots=True)
class _InFlight:
    landed: anyio.Event = field(default_factory=anyio.Event)
    result: tuple[Answer, Outcome] | None = None


class SingleFlight:
    """Answers from the store, from an equal request in flight, or from the service.

    `stored` looks up a fingerprint; `keep` takes an answer that was paid for, with its request, before anyone sees it.
    The answer is kept here too until `forget` says that the store has it.
    """

    def __init__(
        self,
        provider: AnswerReader,
        fetcher: Fetches,
        *,
        stored: Callable[[bytes], Answer | None],
        keep: Callable[[bytes, Request, Answer], Awaitable[None]],
    ) -> None:
        self._provider = provider
        self._fetcher = fetcher
        self._stored = stored
        self._keep = keep
        self._flights: dict[bytes, _InFlight] = {}

    async def fetch(self, request: Request) -> tuple[bytes, Answer, Outcome]:
        """Return the request's fingerprint, its answer (`from_store` unless this very call paid) and what it says."""
        fingerprint = request.fingerprint(self._provider.service_id)
        while flight := self._flights.get(fingerprint):
            await flight.landed.wait()
            if flight.result is not None:
                answer, outcome = flight.result
                return fingerprint, replace(answer, from_store=True), outcome
        known = self._stored(fingerprint)
        if known is not None:
            return fingerprint, known, read_outcome(self._provider, request, known)
        return fingerprint, *await self._fly(fingerprint, request)

    def forget(self, fingerprints: Iterable[bytes]) -> None:
        """Let go of answers that the store has now."""
        for fingerprint in fingerprints:
            self._flights.pop(fingerprint, None)

    async def _fly(self, fingerprint: bytes, request: Request) -> tuple[Answer, Outcome]:
        """Send the request; those who wait for the same answer get it, or try themselves where this one was stopped."""
        flight = self._flights[fingerprint] = _InFlight()
        try:
            answer, outcome = await self._fetcher.fetch(request)
            if is_worth_keeping(answer, outcome):
                with anyio.CancelScope(shield=True):
                    await self._keep(fingerprint, request, answer)
            else:
                self.forget([fingerprint])
            flight.result = answer, outcome
        except BaseException:
            self.forget([fingerprint])
            raise
        finally:
            flight.landed.set()
        return answer, outcome


def is_worth_keeping(answer: Answer, outcome: Outcome) -> bool:
    """Return True if reading `answer` again brings something: insights, a page, a verdict, or what is unreadable now.

    A fault is none of these, and a body that was given up has nothing to read.
    """
    return bool(answer.body) and (not isinstance(outcome, Problem) or outcome.kind in {"row", "unreadable"})
