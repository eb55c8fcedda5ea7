"""Single values of the protocol as the record writes them; each function returns None for a value it can't read."""

from __future__ import annotations

from typing import Any

_HEX = frozenset("0123456789abcdefABCDEF")
_MAX_DIGITS = 18  # fits into 64 bits, the widest integer that every JSON writer supports
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

    The Image Search reference says that it is in UTC. Any other text is returned unchanged.
    """
    if type(value) is not str:
        return None
    return value[:19] + "Z" if value[10:11] == "T" and value[19:] in _NO_FRACTION else value


def day(value: Any) -> str | None:
    """Read a lastUpdated, documented as YYYY-MM-DD; midnight, where it is appended, is cut off.

    Source: Visual Search response guide.
    """
    if type(value) is not str:
        return None
    return value[:10] if value[10:19] == "T00:00:00" and value[19:] in _NO_FRACTION else value


def color(value: Any) -> str | None:
    """Read three hexadecimal bytes as #rrggbb."""
    if type(value) is str and len(value) == 6 and _HEX.issuperset(value):
        return "#" + value.lower()
    return None
