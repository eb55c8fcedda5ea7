"""All that one row asks: its calls one after another, and the pages that follow, joined into one set of insights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.fetch.once import Once
from pipeline.providers.merge import merge
from pipeline.records import Answer, Problem, Request
from pipeline.schema import Insights, no_insights


@dataclass(slots=True)
class Asked:
    """What a row's calls brought: insights, or the problem that ended them; `prints` are the answers' fingerprints."""

    insights: Insights
    answers: list[Answer]
    prints: list[bytes]
    problem: Problem | None = None


async def ask_row(once: Once, requests: Sequence[Request]) -> Asked:
    """Ask every request and the pages that follow it, until one fails or a page brings nothing new."""
    asked = Asked(insights=no_insights(), answers=[], prints=[])
    for first in requests:
        request: Request | None = first
        while request is not None and asked.problem is None:
            request = await _ask(once, request, asked)
    return asked


async def _ask(once: Once, request: Request, asked: Asked) -> Request | None:
    """Ask one request, add what it says, and return the one that follows, if any."""
    fingerprint, answer, outcome = await once.ask(request)
    asked.answers.append(answer)
    asked.prints.append(fingerprint)
    if isinstance(outcome, Problem):
        asked.problem = outcome
        return None
    before = asked.insights
    asked.insights = merge(before, outcome.insights)
    return outcome.more if asked.insights != before else None
