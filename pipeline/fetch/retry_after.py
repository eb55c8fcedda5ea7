"""How long a service asks us to wait: Retry-After in seconds or as a date, as RFC 9110 10.2.3 has it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite


def usable(seconds: float | None) -> float | None:
    """Return `seconds` where they say something: a positive, finite number."""
    return seconds if seconds is not None and isfinite(seconds) and seconds > 0 else None


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds to wait, or None where the header is absent, past or nonsense.

    `headers` has lower-case names. A date is measured against the server's own Date, as its clock may differ from
    ours; only where it sends none, `now` (default: our clock) stands in.
    """
    text = headers.get("retry-after", "").strip()
    try:
        return usable(float(text))
    except ValueError:
        until = _date(text)
    since = _date(headers.get("date", "")) or now or datetime.now(UTC)
    return usable((until - since).total_seconds()) if until else None


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
