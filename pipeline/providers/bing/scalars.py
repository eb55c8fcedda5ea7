"""Single values of the protocol as the record writes them; each function returns None for a value it can't read."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from pipeline.providers.bing.documented_values import AVAILABILITIES

_HEX = frozenset("0123456789abcdefABCDEF")
_MAX_DIGITS = 18  # fits into 64 bits, the widest integer that every JSON writer supports
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", re.ASCII)
_DURATION = re.compile(r"P(?=\d|T\d)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?", re.ASCII)
_FRACTION = re.compile(r"(\.\d{1,9})?Z?", re.ASCII)
_NO_FRACTION = frozenset({"", "Z", ".0000000", ".0000000Z", ".000Z"})


def size_in_bytes(value: Any) -> int | None:
    """Read "12345 B" (Image Search reference, contentSize)."""
    if type(value) is str and value.endswith(" B"):
        digits = value[:-2]
        if digits.isdecimal() and len(digits) <= _MAX_DIGITS:
            return int(digits)
    return None


def moment(value: Any) -> str | None:
    """Read a datePublished, in any of its three formats, as 2018-04-02T22:50:00Z.

    The Image Search reference says that it is in UTC. A fraction other than zero is kept.
    """
    if type(value) is not str or not _is_moment(value[:19]) or not _FRACTION.fullmatch(value[19:]):
        return None
    return f"{value[:19]}Z" if value[19:] in _NO_FRACTION else value


def day(value: Any) -> str | None:
    """Read a lastUpdated, documented as YYYY-MM-DD; a time, which is always midnight, is cut off.

    Source: Visual Search response guide.
    """
    if type(value) is not str or (value[10:19] not in {"", "T00:00:00"} or value[19:] not in _NO_FRACTION):
        return None
    return value[:10] if _is_moment(f"{value[:10]}T00:00:00") else None


def availability(value: Any) -> str | None:
    """Read one of the eight values of Offer.availability (Image Search reference)."""
    return value if type(value) is str and value in AVAILABILITIES else None


def rating(value: Any) -> float | None:
    """Read a ratingValue or bestRating, a number from 1.0 to 5.0 (Image Search reference, AggregateRating)."""
    return float(value) if type(value) in (int, float) and 1.0 <= value <= 5.0 else None


def duration(value: Any) -> str | None:
    """Read an ISO 8601 duration, such as PT1H30M (Image Search reference, Recipe)."""
    return value if type(value) is str and _DURATION.fullmatch(value) else None


def _is_moment(text: str) -> bool:
    if not _MOMENT.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def color(value: Any) -> str | None:
    """Read three hexadecimal bytes as #rrggbb."""
    if type(value) is str and len(value) == 6 and _HEX.issuperset(value):
        return "#" + value.lower()
    return None
