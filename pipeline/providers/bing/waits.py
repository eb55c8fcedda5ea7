"""How long a refusal asks to wait: Retry-After in both of its forms, or the sentences that gateways send instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

_LONGEST = 366 * 86400.0  # a quota is renewed within a month: whatever is longer is a mistake
_UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_IN_UNITS = re.compile(
    r"(?:again|replenished|wait|retry)\D{0,40}?(\d{1,9}(?:\.\d{1,9})?)\s*(second|minute|hour|day)", re.IGNORECASE
)
_ON_CLOCK = re.compile(r"replenished in (?:(\d{1,3})\.)?(\d{1,2}):(\d{2}):(\d{2})", re.IGNORECASE)


def wait_asked(headers: Mapping[str, str], message: str, now: float) -> float | None:
    """Return the seconds to wait, or None where nothing sensible is asked.

    An HTTP-date is measured against the answer's own Date header, since our clock may differ; without one against
    `now` (Unix time). Negative and absurd values count as absent, a date in the past as zero.
    """
    value = headers.get("retry-after", "").strip()
    asked = _seconds(value) if value else None
    if asked is None and value:
        asked = _until(value, headers.get("date", ""), now)
    return asked if asked is not None else _in_words(message)


def _seconds(value: str) -> float | None:
    return _sane(float(value)) if re.fullmatch(r"\d{1,12}(?:\.\d{1,9})?", value, re.ASCII) else None


def _until(value: str, date: str, now: float) -> float | None:
    then = _unix_time(value)
    if then is None:
        return None
    start = _unix_time(date)
    return _sane(max(0.0, then - (now if start is None else start)))


def _unix_time(value: str) -> float | None:
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _in_words(message: str) -> float | None:
    """Read "Try again in 26 seconds", "replenished in 2.12 days", "replenished in 5.02:03:04"."""
    clock = _ON_CLOCK.search(message)
    if clock is not None:
        days, hours, minutes, seconds = (float(part or 0) for part in clock.groups())
        return _sane(days * 86400 + hours * 3600 + minutes * 60 + seconds)
    spoken = _IN_UNITS.search(message)
    return _sane(float(spoken[1]) * _UNITS[spoken[2].lower()]) if spoken else None


def _sane(seconds: float) -> float | None:
    return seconds if 0 <= seconds <= _LONGEST else None
