"""How long a refusal asks to wait in the sentences that gateways send instead of a header."""

from __future__ import annotations

import re

from pipeline.network.waits import LONGEST_WAIT

_UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_IN_UNITS = re.compile(
    r"(?:again|replenished|wait|retry)\D{0,40}?(\d{1,9}(?:\.\d{1,9})?)\s*(second|minute|hour|day)", re.IGNORECASE
)
_ON_CLOCK = re.compile(r"replenished in (?:(\d{1,3})\.)?(\d{1,2}):(\d{2}):(\d{2})", re.IGNORECASE)


def wait_in_words(message: str) -> float | None:
    """Read "Try again in 26 seconds", "replenished in 2.12 days", "replenished in 5.02:03:04"; return seconds."""
    clock = _ON_CLOCK.search(message)
    if clock is not None:
        days, hours, minutes, seconds = (float(part or 0) for part in clock.groups())
        return _bearable(days * 86400 + hours * 3600 + minutes * 60 + seconds)
    spoken = _IN_UNITS.search(message)
    return _bearable(float(spoken[1]) * _UNITS[spoken[2].lower()]) if spoken else None


def _bearable(seconds: float) -> float | None:
    return seconds if seconds <= LONGEST_WAIT else None
