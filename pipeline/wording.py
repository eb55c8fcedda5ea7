"""How messages and records write numbers and names."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: "1 row", "2 rows"; for a noun whose plural has an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def money(amount: float) -> str:
    """Return an amount with two decimals, or with three digits where that shows more: "12.50", "0.00135"."""
    return f"{amount:.2f}" if amount >= 1 or not amount else f"{amount:.3g}"


def readable(name: str) -> str:
    r"""Return the name of a file as valid text: bytes that are no UTF-8 (lone surrogates here) are written \xe4."""
    return name if name.isascii() else name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
