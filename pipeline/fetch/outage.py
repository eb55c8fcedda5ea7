"""Whether the service is there at all: a run that finds nobody says so soon, and no row is blamed for it."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from pipeline.errors import Unreachable
from pipeline.fetch.pacing.pace import Permit
from pipeline.records import Problem

AT_START: Final = 90.0  # seconds a service may be away that this run has never had an answer from


class OutageDetector:
    """Since when the service of `endpoint` has not been reached; times in seconds of one clock.

    A service that has answered in this run is waited for half of `row_timeout`, so that no row runs out of time.
    """

    def __init__(self, endpoint: str, row_timeout: float) -> None:
        self._host = urlsplit(endpoint).netloc
        self._patience = row_timeout / 2
        self._has_answered = False
        self._lost_at: float | None = None
        self._lost_since: datetime | None = None

    @property
    def trouble(self) -> str:
        """Say in words that nobody has answered lately; nothing where the service is there."""
        return f"no answer from {self._host} since {self._lost_since:%H:%M:%S}" if self._lost_since else ""

    def answered(self) -> None:
        """Note that something came back, whatever it says."""
        self._has_answered = True
        self._lost_at = self._lost_since = None

    def missed(self, problem: Problem, permit: Permit, now: float) -> None:
        """Note that an attempt reached nobody; raises Unreachable where that has lasted too long.

        What was sent and got no answer may be its row's fault, unless nothing was ever answered.
        """
        if permit.left and self._has_answered:
            return
        if self._lost_at is None:
            self._lost_at, self._lost_since = permit.granted_at, datetime.now().astimezone()
        lost_for = now - self._lost_at
        if lost_for >= (self._patience if self._has_answered else min(AT_START, self._patience)):
            said = f"{self._host} has not been reached for {lost_for:.0f} s: {problem.message} ({problem.code})"
            raise Unreachable(f"{said}; no row has failed for it, the next run goes on")
