"""All that one row asks: its calls one after another, and the pages that follow, joined into one reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.fetch.single_flight import SingleFlight
from pipeline.providers.merge import join
from pipeline.records import Answer, Problem, Reading, Request


@dataclass(slots=True)
class Asked:
    """What a row's calls brought: a reading, or the problem that ended them; `prints` are the answers' fingerprints."""

    reading: Reading | None = None
    problem: Problem | None = None
    answers: list[Answer] = field(default_factory=list)
    prints: list[bytes] = field(default_factory=list)


async def ask_row(single_flight: SingleFlight, requests: Sequence[Request]) -> Asked:
    """Ask every request and the pages that follow it, until one fails."""
    asked = Asked()
    for first in requests:
        request: Request | None = first
        while request is not None and asked.problem is None:
            request = await _ask(single_flight, request, asked)
    return asked


async def _ask(single_flight: SingleFlight, request: Request, asked: Asked) -> Request | None:
    """Ask one request, add what it says, and return the one that follows, if any."""
    fingerprint, answer, outcome = await single_flight.ask(request)
    asked.answers.append(answer)
    asked.prints.append(fingerprint)
    if isinstance(outcome, Problem):
        asked.problem = outcome
        return None
    assert isinstance(outcome, Reading)
    asked.reading = join(asked.reading, outcome)
    return asked.reading.more
