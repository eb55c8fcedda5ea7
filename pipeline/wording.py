"""How messages count."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: "1 row", "2 rows"; for a noun whose plural has an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
