"""Divides a capacity among callers, so that no caller can use all of it."""

from __future__ import annotations

from collections import Counter


class FairShare:
    """A caller may hold as much as is free: one caller half of the capacity, two a third each, and so on.

    However many hold as much as they may, a part is left for the next one.
    """

    def __init__(self, capacity: int) -> None:
        self._free = capacity
        self._held: Counter[str] = Counter()

    def take(self, caller: str, amount: int = 1) -> bool:
        """Take an amount for a caller and return True, or return False if that is more than its share."""
        if not self.has_room(caller, amount):
            return False
        self._held[caller] += amount
        self._free -= amount
        return True

    def has_room(self, caller: str, amount: int = 1) -> bool:
        """Return True if a caller may take an amount now."""
        return self._held[caller] + amount <= self._free

    def give_back(self, caller: str, amount: int = 1) -> None:
        """Give back what a caller has taken."""
        self._free += amount
        self._held[caller] -= amount
        if not self._held[caller]:
            del self._held[caller]

    def held_by(self, caller: str) -> int:
        """Return how much a caller holds."""
        return self._held[caller]
