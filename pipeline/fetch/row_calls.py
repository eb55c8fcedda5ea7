"""All that is sent for one row: its requests one after another, and the pages that follow, joined into one reading."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.fetch.single_flight import SingleFlight
from pipeline.providers.merge import join
from pipeline.records import Answer, Problem, Reading, Request


@dataclass(slots=True)
class RowAnswers:
    """What a row's calls brought: a reading, or the problem that ended them.

    `requests` and `answers` belong together one by one. `fingerprints` are those of the requests that count: not of one
    whose picture was sent again in another form.
    """

    reading: Reading | None = None
    problem: Problem | None = None
    requests: list[Request] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    fingerprints: list[bytes] = field(default_factory=list)


async def fetch_row(
    single_flight: SingleFlight, requests: Sequence[Request], before: RowAnswers | None = None
) -> RowAnswers:
    """Send every request and those for the pages that follow it, until one fails.

    `before` is what the same row was answered when its picture was sent in another form.
    """
    answers = RowAnswers(requests=[*before.requests], answers=[*before.answers]) if before else RowAnswers()
    to_send = deque(requests)
    while to_send and answers.problem is None:
        to_send.extend(await _fetch_page(single_flight, to_send.popleft(), answers))
    return answers


async def _fetch_page(single_flight: SingleFlight, request: Request, answers: RowAnswers) -> list[Request]:
    """Send one request, add what its answer says, and return the requests for the pages that follow."""
    fingerprint, answer, outcome = await single_flight.fetch(request)
    answers.requests.append(request)
    answers.answers.append(answer)
    answers.fingerprints.append(fingerprint)
    if isinstance(outcome, Problem):
        answers.problem = outcome
        return []
    assert isinstance(outcome, Reading)
    answers.reading = join(answers.reading, outcome)
    return [page.request for page in answers.reading.more]
