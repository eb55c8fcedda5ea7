"""Other ways to send a request: found out by the first answer for all, later for the one request that needs it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest
from aioresponses import CallbackResult, aioresponses
from pydantic import SecretStr

from pipeline.errors import Misconfigured
from pipeline.fetch.fetcher import Fetcher, counted_amount
from pipeline.fetch.pacing.pacer import ProcessPacer
from pipeline.fetch.policy import FetchPolicy, RateLimit, RetryPolicy
from pipeline.records import Answer, Outcome, Problem, Reading, Request, Usage
from tests.fetch.conftest import Small

VIRTUAL_CLOCK = True
ENDPOINT = "http://127.0.0.1:9/v1"
URL = f"{ENDPOINT}/ask"
RATE = RateLimit(qps=0)
POST = Request(method="POST", target="/ask", form="bytes", body=b"new")


class Old(Small):
    """A service whose 400 says that it wants the old form, and whose 413 that it wants a short one."""

    def with_fallbacks(self, request: Request, names: frozenset[str]) -> Request:
        """Write the names behind the body."""
        return replace(request, body=b" ".join([request.body, *(name.encode() for name in sorted(names))]))

    def read(self, request: Request, answer: Answer) -> Outcome:
        """Name a fallback for two statuses."""
        outcome = super().read(request, answer)
        fallback = {400: "old", 413: "short"}.get(answer.status, "")
        return replace(outcome, kind="misconfigured", fallback=fallback) if isinstance(outcome, Problem) else outcome


class Strict:
    """The service: takes what `takes` says; `bodies` is what it was sent."""

    def __init__(self, takes: str) -> None:
        self.takes = takes
        self.bodies: list[bytes] = []

    def answer(self, _url: Any, **request: Any) -> CallbackResult:
        body: bytes = request["data"].decode().encode()
        self.bodies.append(body)
        if self.takes and self.takes not in body.decode():
            return CallbackResult(status=400)
        return CallbackResult(status=413 if body == b"long" else 200, body="{}")


def fetcher(service: Small) -> Fetcher:
    retry = RetryPolicy(first_wait=0.01, max_wait=0.05)
    return Fetcher(service, SecretStr("k"), FetchPolicy(rate=RATE, retry=retry), pacer=ProcessPacer(RATE))


async def test_the_first_answer_shows_it_for_all(small: type[Small]) -> None:
    """Of many requests that wait together one is sent in vain; the answers are good, and count as second attempts."""
    service, outcomes = Strict("old"), list[tuple[Answer, Outcome]]()

    async def ask(to: Fetcher) -> None:
        outcomes.append(await to.fetch(POST))

    with aioresponses() as mock:
        mock.post(URL, callback=service.answer, repeat=True)
        async with fetcher(Old(ENDPOINT)) as sends, anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(ask, sends)
    assert service.bodies == [b"new"] + [b"new old"] * 8
    assert all(isinstance(outcome, Reading) for _, outcome in outcomes)
    assert sorted(answer.attempts for answer, _ in outcomes) == [1] * 7 + [2]


async def test_after_a_good_answer_it_holds_for_one_request_alone() -> None:
    """A row that is too long is sent otherwise; the next one is sent as ever."""
    service = Strict("")
    with aioresponses() as mock:
        mock.post(URL, callback=service.answer, repeat=True)
        async with fetcher(Old(ENDPOINT)) as sends:
            for body in (b"new", b"long", b"new"):
                _, outcome = await sends.fetch(replace(POST, body=body))
                assert isinstance(outcome, Reading)
    assert service.bodies == [b"new", b"long", b"long short", b"new"]


async def test_a_fallback_that_does_not_help_is_tried_once() -> None:
    """Then the problem stands, and does what it does to the run."""
    service = Strict("something else")
    with aioresponses() as mock:
        mock.post(URL, callback=service.answer, repeat=True)
        async with fetcher(Old(ENDPOINT)) as sends:
            with pytest.raises(Misconfigured):
                await sends.fetch(POST)
    assert service.bodies == [b"new", b"new old"]


def test_what_is_counted_against_a_limit_on_tokens() -> None:
    """What went in, and what might have come out; units as they are; an estimate where nothing is said."""
    estimate = Usage(tokens_in=100, tokens_out=50)
    assert counted_amount(estimate, Usage(tokens_in=120, tokens_out=10)) == 170
    assert counted_amount(estimate, Usage(tokens_in=120, tokens_out=70)) == 190
    assert counted_amount(estimate, Usage()) == 150
    assert counted_amount(Usage(units={"label": 1, "text": 2}), Usage(units={"label": 1})) == 1
