"""A limit that a service showed by its refusals: held for a while, then raised step by step. Pure."""

from __future__ import annotations

from typing import Final

from pipeline.fetch.pacing.cells import Cell

HOLD: Final = 15.0
HOLD_MAX: Final = 240.0
PROBE: Final = 1.01  # grows by 1, 2, 4 ... per cent a step


class LearntLimit:
    """Keeps a limit in three cells; it is forgotten once it has grown to `most`.

    `step` is how many seconds a change takes to show: the holds and the steps of the growth are so many times as long.
    """

    CELLS: Final = 3
    _limit = Cell(0)  # 0 = nothing is learnt
    _held_until = Cell(1)
    _hold = Cell(2)

    def __init__(self, cells: memoryview[float], at: int, *, most: float, step: float = 1.0) -> None:
        self.cells = cells
        self.at = at
        self._most = most
        self._step = step

    def value(self, now: float) -> float:
        """Return the limit that holds now, 0 where none is learnt."""
        if not self._limit:
            return 0.0
        steps = min(max(0.0, now - self._held_until) / self._step, 12.0)
        grown: float = self._limit * PROBE ** (2**steps - 1)
        if grown >= self._most:
            self._limit = self._hold = 0.0
            return 0.0
        return grown

    def lower(self, limit: float, until: float) -> None:
        """Hold this limit after `until`, for twice as long as the last one."""
        self._limit = limit
        self._hold = min(2 * self._hold, HOLD_MAX * self._step) or HOLD * self._step
        self._held_until = until + self._hold
