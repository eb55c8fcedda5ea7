"""What a service says is left of its limits, spread over the time until they are whole again. Pure.

Services count in different ways: some refill all the time, some all at once at the end of a window. Spending what is
left evenly until the reset is right for both. A limit of which at least half is left is no reason to wait. Nor is one
of a day: a run that needs less than is left would wait in vain, and any other is refused with the time to go on.
"""

from __future__ import annotations

from typing import Final

from pipeline.fetch.pacing.cells import Cell
from pipeline.records import Budget

PLENTY: Final = 0.5  # of a limit
LONGEST: Final = 120.0  # seconds until a limit is whole again that are worth spreading it over


class BudgetPace:
    """Paces by the last word on one limit, in five cells; times are seconds of one clock."""

    CELLS: Final = 5
    _left = Cell(0)
    _until = Cell(1)  # when the limit is whole again; 0 = nothing is known, or there is plenty
    _last_at = Cell(2)  # the last send, and its amount
    _last_amount = Cell(3)
    spent = Cell(4)  # by all sends so far

    def __init__(self, cells: memoryview[float], at: int) -> None:
        self.cells = cells
        self.at = at

    def free_at(self, now: float, amount: float) -> float:
        """Return when `amount` may be sent: once the last send's share of the time has passed, if enough is left."""
        if not amount or now >= self._until:
            return now
        if amount > self._left:
            return self._until
        share = self._last_amount / (self._last_amount + self._left)
        return self._last_at + share * (self._until - self._last_at)

    def take(self, now: float, amount: float) -> None:
        """Count what is about to be sent."""
        if not amount:
            return
        self._last_at, self._last_amount = now, amount
        self.spend(amount)

    def spend(self, amount: float) -> None:
        """Count an amount, which is negative for what was not spent after all."""
        self.spent += amount
        self._left -= amount

    def note(self, budget: Budget, sent_at: float, spent: float) -> None:
        """Take the word of an answer, whose request was sent at `sent_at`, when `spent` had been spent in all."""
        self._left = budget.remaining - (self.spent - spent)
        self._until = paced_until(budget, sent_at)


def paced_until(budget: Budget, sent_at: float) -> float:
    """Return until when what is left has to be spread, 0 where it need not be."""
    if budget.remaining >= PLENTY * budget.limit or budget.reset > LONGEST:
        return 0.0
    return sent_at + budget.reset
