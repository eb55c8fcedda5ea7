"""How messages and records write numbers and names."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: "1 row", "2 rows"; for a noun whose plural has an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def readable(name: str) -> str:
    r"""Return the name of a file as valid text: bytes that are no UTF-8 (lone surrogates here) are written \xe4."""
    return name if name.isascii() else name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
