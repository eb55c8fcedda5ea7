"""What the headers of an answer say about the pace: how long to wait, and what is left of the limits.

Sources: OpenAI's guide to rate limits, and its client (retry-after-ms, x-should-retry). Groq, Together, Azure and
OpenRouter send the same names, some of them fewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Final

from pipeline.network.waits import WAIT_HEADERS, parse_wait, wait_of_headers
from pipeline.records import Advice, Answer, Budget

_KINDS: Final = {"calls": ("-requests", ""), "amount": ("-tokens",)}
KEPT_HEADERS: Final = (
    *WAIT_HEADERS,
    *(f"x-ratelimit-{word}{kind}" for word in ("limit", "remaining") for kind in ("-requests", "-tokens", "")),
    "x-should-retry",
)
_WAITS: Final = ("date", "retry-after", "retry-after-ms", "x-ms-retry-after-ms")
_A_MINUTE: Final = 60.0  # until a limit is whole again, where the service doesn't say it


def advice_of(answer: Answer) -> Advice:
    """Return what an answer's headers say."""
    now = answer.asked_at + answer.ms / 1000
    return Advice(
        wait=wait_of(answer, now),
        calls=_budget(answer.headers, "calls", now),
        amount=_budget(answer.headers, "amount", now),
    )


def wait_of(answer: Answer, now: float) -> float | None:
    """Return the seconds that an answer asks to wait.

    The times at which limits are whole again are in every answer: they count only where a limit was exceeded.
    """
    asked = {name: value for name, value in answer.headers.items() if name in _WAITS}
    wait = wait_of_headers(asked, now)
    if wait is not None or answer.status != 429:
        return wait
    exhausted = {
        f"x-ratelimit-reset{kind}"
        for kinds in _KINDS.values()
        for kind in kinds
        if answer.headers.get(f"x-ratelimit-remaining{kind}") == "0"
    }
    resets = {name: value for name, value in answer.headers.items() if name in exhausted or name == "date"}
    return wait_of_headers(resets if exhausted else answer.headers, now)


def is_out_of_tokens(headers: Mapping[str, str]) -> bool:
    """Return True if calls are left, but no tokens: then a refusal was for too many tokens."""
    return headers.get("x-ratelimit-remaining-tokens") == "0" != headers.get("x-ratelimit-remaining-requests", "0")


def _budget(headers: Mapping[str, str], which: str, now: float) -> Budget | None:
    for kind in _KINDS[which]:
        remaining = _number(headers.get(f"x-ratelimit-remaining{kind}"))
        if remaining is not None:
            reset = parse_wait(headers.get(f"x-ratelimit-reset{kind}", ""), now)
            limit = _number(headers.get(f"x-ratelimit-limit{kind}"))
            return Budget(
                limit=inf if limit is None else limit,
                remaining=remaining,
                reset=_A_MINUTE if reset is None else reset,
            )
    return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < inf else None
