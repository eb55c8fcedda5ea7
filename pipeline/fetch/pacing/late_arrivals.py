"""How late a request may have arrived, told by how long its answer took. Pure.

A service counts what it reads, when it reads it. Where the way there takes longer than usual, a send arrives late, and
the send a second after it is refused although the two left far enough apart. What an answer took longer than the
fastest of late is the most by which its request can have been late.
"""

from __future__ import annotations

from math import inf
from typing import Final

ANSWERS: Final = 100  # the fastest of the last so many counts, and of at most as many before them
UNSEEN: Final = 2.0  # the fastest of n answers is itself late, by their range over n at least
JITTER: Final = 0.06  # seconds that the way may take longer; what is above is the service's own time
GAIN: Final = 1 / 32  # weight of one more answer
OUTLIER: Final = 3.0  # mean deviations beyond which an answer is late in any case: something stalled
LEAST: Final = 0.002  # seconds that are never worth a word


class LateArrivals:
    """Learns how long answers take and how much that varies, in seconds."""

    def __init__(self) -> None:
        self._usual = 0.0
        self._spread = 0.0
        self._fastest = self._fastest_before = inf
        self._seen = 0
        self._range = 0.0  # from the fastest to the slowest answer, as far as it is the way that varies

    def of(self, latency: float) -> float:
        """Return by how much a request may have arrived late, 0 where nothing says so; learn from its latency."""
        self._note(latency)
        excess = latency - min(self._fastest, self._fastest_before)
        is_outlier = self._is_outlier(latency)
        if excess > JITTER:
            return excess if is_outlier else 0.0
        self._range = max(self._range, excess)
        late = excess + self._range * UNSEEN / self._seen
        return late if late > LEAST else 0.0

    def _note(self, latency: float) -> None:
        if self._seen % ANSWERS == 0:
            self._fastest_before, self._fastest = self._fastest, inf
        self._fastest = min(self._fastest, latency)
        self._seen += 1

    def _is_outlier(self, latency: float) -> bool:
        """Return True if an answer took longer than answers do; learn from it."""
        if not self._usual:
            self._usual, self._spread = latency, latency / 2
            return False
        excess = latency - self._usual
        bound = max(OUTLIER * self._spread, LEAST)
        # What is learnt from an outlier is bounded: one stall must not make the next one look usual.
        known = min(max(excess, -bound), bound)
        self._usual += GAIN * known
        self._spread += GAIN * (abs(known) - self._spread)
        return excess > bound
