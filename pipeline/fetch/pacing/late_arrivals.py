"""How late a request must have arrived, told by an answer that came later than answers do. Pure.

A service counts what it reads, when it reads it. Where it, the way or the machine stalls for a moment, a send arrives
late, and the send a second after it is refused although the two left far enough apart. The late answer gives it away.
"""

from __future__ import annotations

from typing import Final

GAIN: Final = 1 / 32  # weight of one more answer
OUTLIER: Final = 3.0  # mean deviations beyond which an answer is late
LEAST: Final = 0.002  # seconds that are never worth a word


class LateArrivals:
    """Learns how long answers take and how much that varies, in seconds."""

    def __init__(self) -> None:
        self._usual = 0.0
        self._spread = 0.0

    def of(self, latency: float) -> float:
        """Return by how much an answer was later than answers are, 0 where it is as they come; learn from it."""
        if not self._usual:
            self._usual, self._spread = latency, latency / 2
            return 0.0
        excess = latency - self._usual
        bound = max(OUTLIER * self._spread, LEAST)
        # What is learnt from an outlier is bounded: one stall must not make the next one look usual.
        known = min(max(excess, -bound), bound)
        self._usual += GAIN * known
        self._spread += GAIN * (abs(known) - self._spread)
        return excess if excess > bound else 0.0
