"""How long a service asks its clients to wait, in every form that services send. Pure.

Sources: RFC 9110 section 10.2.3 (Retry-After), the headers of rate limiters in use (`retry-after-ms`,
`x-ms-retry-after-ms`, `x-ratelimit-reset*`, `ratelimit-reset`), and durations as Google's and OpenAI's APIs write them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT = 366 * 86_400.0  # quotas are renewed within a year: a longer wait is a mistake
WAIT_HEADERS = (
    "date",
    "retry-after",
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "ratelimit-reset",
    "x-ratelimit-reset",
    "x-ratelimit-reset-after",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
)
_MILLISECOND_HEADERS = ("retry-after-ms", "x-ms-retry-after-ms")
_RESET_HEADERS = WAIT_HEADERS[4:]
_NUMBER = re.compile(r"\d{1,18}(?:\.\d{1,9})?", re.ASCII)
_DURATION = re.compile(
    r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?", re.ASCII
)
_MILLISECONDS_FROM = 1e11  # a Unix time that large counts milliseconds


def wait_of_headers(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds to wait from `now` (Unix time), or None where no header asks for a bearable wait.

    `headers` has lower-case names. Retry-After counts first; the times at which a rate limit is reset stand in for it,
    the latest of them. Points in time are measured against the server's own Date, as its clock may differ from ours.
    """
    if not any(headers.get(name) for name in WAIT_HEADERS[1:]):
        return None  # as nearly every answer
    start = _moment(headers.get("date", ""))
    start = now if start is None else start
    for name in _MILLISECOND_HEADERS:
        text = headers.get(name, "").strip()
        if _NUMBER.fullmatch(text) and (wait := _bearable(float(text) / 1000)) is not None:
            return wait
    wait = parse_wait(headers.get("retry-after", ""), start)
    if wait is not None:
        return wait
    resets = (parse_wait(headers.get(name, ""), start) for name in _RESET_HEADERS)
    return max((reset for reset in resets if reset is not None), default=None)


def parse_wait(text: str, start: float) -> float | None:
    """Return the seconds that `text` stands for, or None where it is no bearable wait; `start` is a Unix time.

    Read are seconds ("7", "1.5"), durations ("1.5s", "1m2s", "250ms"), Unix times in seconds or milliseconds, HTTP
    dates and ISO 8601 dates. A point in time that has passed is a wait of zero.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return _number(float(text), start)
    if text and (duration := _DURATION.fullmatch(text)) is not None:
        hours, minutes, seconds, milliseconds = (float(part or 0) for part in duration.groups())
        return _bearable(hours * 3600 + minutes * 60 + seconds + milliseconds / 1000)
    moment = _moment(text)
    return None if moment is None else _bearable(max(0.0, moment - start))


def _number(value: float, start: float) -> float | None:
    """Read a number as seconds, or as the Unix time that it is when it is too large for a wait."""
    if value <= LONGEST_WAIT:
        return value
    moment = value / 1000 if value >= _MILLISECONDS_FROM else value
    return _bearable(max(0.0, moment - start)) if abs(moment - start) <= LONGEST_WAIT else None


def _moment(text: str) -> float | None:
    """Return the Unix time of an HTTP date or an ISO 8601 date; a date without a zone is in UTC."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None


def _bearable(seconds: float) -> float | None:
    return seconds if 0 <= seconds <= LONGEST_WAIT else None
