"""How many requests may be in flight: by Little's law from rate and latency, or by feeling for the service's limit."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Final

from pipeline.fetch.policy import RateLimit

FEWEST: Final = 2
MOST: Final = 64
UNPACED: Final = 32  # the most where no rate is given
SLACK: Final = 1.5  # room for answers slower than the latency seen
PATIENCE: Final = 8.0  # the latency, in seconds, up to which the rate can be kept up
FORGET: Final = 0.05  # weight of one more answer
AGE: Final = 1.0001  # what the best latency loses with each answer, as services change


def max_workers(limits: RateLimit) -> int:
    """Return how many requests can ever be in flight, so how many workers are worth starting."""
    if limits.concurrency:
        return limits.concurrency
    return min(max(ceil(limits.qps * PATIENCE), FEWEST), MOST) if limits.qps else UNPACED


class Concurrency:
    """The bound on requests in flight; one alone goes ahead at the start and after each pause, until it succeeds."""

    def __init__(self, limits: RateLimit) -> None:
        self._limits = limits
        self._most = max_workers(limits)
        self._alone = True
        self._latency = 0.0
        self._best = 0.0
        self._unpaced = float(FEWEST)

    @property
    def limit(self) -> int:
        """Return how many requests may be in flight now."""
        if self._alone:
            return 1
        if self._limits.concurrency:
            return self._limits.concurrency
        wanted = self._limits.qps * self._latency * SLACK + FEWEST if self._limits.qps else self._unpaced
        return min(ceil(wanted), self._most)

    def answered(self, latency: float) -> None:
        """Learn from a request that was answered after `latency` seconds."""
        # Up at once and down slowly: a bound too low costs the rate, one too high costs nothing while we are paced.
        self._latency = max(latency, self._latency + FORGET * (latency - self._latency))
        self._feel(latency)

    def recovered(self) -> None:
        """Let the others follow: the service is there and answers."""
        self._alone = False

    def troubled(self) -> None:
        """Let a single request try the service before the others follow."""
        self._alone = True

    def _feel(self, latency: float) -> None:
        """Grow while answers come as fast as they ever did, shrink while they queue (the gradient of the latency)."""
        self._best = min(self._best * AGE, latency) if self._best else latency
        gradient = max(0.5, min(1.0, 2 * self._best / latency)) if latency else 1.0
        wanted = self._unpaced * gradient + sqrt(self._unpaced)
        self._unpaced = min(max(self._unpaced + FORGET * (wanted - self._unpaced), FEWEST), self._most)
