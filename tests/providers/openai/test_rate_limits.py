"""What the headers of an answer say: how long to wait, and what is left of the limits."""

from __future__ import annotations

from math import inf

import pytest

from pipeline.providers.openai.provider import OpenAI
from pipeline.records import Advice, Budget
from tests.providers.openai.conftest import answer_of

OPENAI = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-limit-tokens": "200000",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-remaining-tokens": "0",
    "x-ratelimit-reset-requests": "120ms",
    "x-ratelimit-reset-tokens": "6m0s",
}


def test_what_is_left(openai: OpenAI) -> None:
    """Both limits, with the time until they are whole again; no wait, as nothing was refused."""
    assert openai.advice(answer_of({}, 200, OPENAI)) == Advice(
        calls=Budget(limit=500, remaining=499, reset=0.12), amount=Budget(limit=200_000, remaining=0, reset=360)
    )


@pytest.mark.parametrize(
    ("headers", "calls", "amount"),
    [
        ({}, None, None),
        ({"x-ratelimit-remaining-tokens": "100"}, None, Budget(limit=inf, remaining=100, reset=60)),
        ({"x-ratelimit-limit": "20", "x-ratelimit-remaining": "3", "x-ratelimit-reset": "30"},
         Budget(limit=20, remaining=3, reset=30), None),
        ({"x-ratelimit-remaining-requests": "-1"}, None, None),
        ({"x-ratelimit-remaining-requests": "many"}, None, None),
        ({"x-ratelimit-remaining-requests": "nan"}, None, None),
        ({"x-ratelimit-limit-requests": "1000"}, None, None),
    ],
    ids=["none", "azure", "openrouter", "negative", "words", "nan", "limit only"],
)  # fmt: skip
def test_fewer_headers(openai: OpenAI, headers: dict[str, str], calls: Budget | None, amount: Budget | None) -> None:
    """What a service doesn't say is not made up, but for the minute that its limits are for."""
    assert openai.advice(answer_of({}, 200, headers)) == Advice(calls=calls, amount=amount)


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"retry-after": "7"}, 7.0),
        (429, {"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        (429, OPENAI, 360.0),
        (429, {**OPENAI, "x-ratelimit-remaining-tokens": "5"}, 360.0),
        (429, {**OPENAI, "x-ratelimit-remaining-requests": "0", "x-ratelimit-remaining-tokens": "5"}, 0.12),
        (429, {}, None),
        (500, OPENAI, None),
        (503, {**OPENAI, "retry-after": "3"}, 3.0),
    ],
)
def test_how_long_to_wait(openai: OpenAI, status: int, headers: dict[str, str], wait: float | None) -> None:
    """Retry-After first; the time of a reset counts only for the limit that was exceeded, and only where one was."""
    assert openai.advice(answer_of({}, status, headers)).wait == wait
