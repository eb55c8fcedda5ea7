"""How much is sent in a minute: tokens, or a service's own units. Pure.

The law: never more than `limit` is sent in any minute. What was sent is summed by seconds, and a second's sum counts
until a whole minute has passed since its end. A single send of more than the limit goes alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import floor
from typing import Final

from pipeline.fetch.pacing.cells import Cell

MINUTE: Final = 60
CATCH_UP: Final = 1.0  # seconds of lateness that may be made up for
_SECONDS: Final = MINUTE + 1  # whose sums count, the current one among them


class Amounts:
    """Sums what is sent, in cells; times are seconds of one clock."""

    CELLS: Final = 2 + _SECONDS
    _even_at = Cell(0)  # when the even pace allows the next send
    _second = Cell(1)  # the newest second whose sum is kept

    def __init__(self, cells: memoryview[float], at: int) -> None:
        self.cells = cells
        self.at = at

    def free_at(self, now: float, amount: float, limit: float) -> float:
        """Return when `amount` may be sent, at a limit of so much a minute; 0 means no limit."""
        if not amount or not limit:
            return now
        excess = self.total(now) + min(amount, limit) - limit
        if excess <= 0:
            return max(self._even_at, now)
        last = floor(now)
        for second, sent in self._sums():
            excess -= sent
            if excess <= 0:
                last = second
                break
        return max(self._even_at, last + _SECONDS)

    def take(self, now: float, amount: float, limit: float) -> None:
        """Count what is about to be sent; the next send has to wait for its share of the minute."""
        if not amount:
            return
        if limit:
            self._even_at = max(self._even_at, now - CATCH_UP) + min(amount, limit) / limit * MINUTE
        self.add(now, amount)

    def correct(self, at: float, more: float, limit: float) -> None:
        """Count so much more, or less, for a send that was made at a time."""
        self.add(at, more)
        if limit:
            self._even_at += more / limit * MINUTE

    def add(self, at: float, amount: float) -> None:
        """Count an amount, which may be negative, as sent at a time; more than a minute ago, it counts no more."""
        if not amount:
            return
        self._advance(at)
        if floor(at) > self._second - _SECONDS:
            place = self._place(floor(at))
            self.cells[place] = max(0.0, self.cells[place] + amount)

    def total(self, now: float) -> float:
        """Return what was sent within the last minute."""
        self._advance(now)
        first = self.at + 2
        return sum(self.cells[first : first + _SECONDS])

    def _sums(self) -> Iterator[tuple[int, float]]:
        """Yield the seconds in which something was sent, oldest first, with their sums."""
        newest = int(self._second)
        for second in range(newest - MINUTE, newest + 1):
            if sent := self.cells[self._place(second)]:
                yield second, sent

    def _advance(self, now: float) -> None:
        """Forget the sums that have left the window."""
        newest, last = floor(now), int(self._second)
        for second in range(max(last + 1, newest - MINUTE), newest + 1):
            self.cells[self._place(second)] = 0.0
        self._second = max(newest, last)

    def _place(self, second: int) -> int:
        return self.at + 2 + second % _SECONDS
