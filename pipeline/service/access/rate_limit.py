"""Limits the queries per second of one account."""

from __future__ import annotations

import math
from collections import deque


class SlidingWindow:
    """Admits at most ceil(qps) queries in any window of ceil(qps)/qps seconds: one second for a whole `qps`."""

    def __init__(self, qps: float) -> None:
        self._capacity = math.ceil(qps)
        self._seconds = self._capacity / qps
        self._admitted: deque[float] = deque(maxlen=self._capacity)

    def admit(self, now: float) -> float:
        """Admit a query at `now` and return 0, or return the seconds until one can be admitted."""
        if len(self._admitted) == self._capacity and (wait := self._admitted[0] + self._seconds - now) > 0:
            return wait
        self._admitted.append(now)
        return 0.0
