"""How requests are sent otherwise, once an answer has shown that the service doesn't take them as they are."""

from __future__ import annotations

from pipeline.providers.base import FallbackService, Service
from pipeline.records import Outcome, Problem, Request


class Fallbacks:
    """The fallbacks of a service by their names, and which of them all requests are sent with.

    Before the first good answer, what one answer shows holds for every request. Later it holds for its own alone: a
    service that has answered doesn't change for the sake of one row.
    """

    def __init__(self, service: Service) -> None:
        self.for_all: frozenset[str] = frozenset()
        self._service = service
        self._has_answered = False

    def applied(self, request: Request, names: frozenset[str]) -> Request:
        """Return the request as it is sent with these fallbacks."""
        if not names or not isinstance(self._service, FallbackService):
            return request
        return self._service.with_fallbacks(request, names)

    def wanted(self, outcome: Outcome, used: frozenset[str]) -> str:
        """Return the fallback with which a request is to be sent again, empty where its outcome holds."""
        if not isinstance(outcome, Problem):
            self._has_answered = True
            return ""
        if outcome.fallback and not self._has_answered:
            self.for_all |= {outcome.fallback}
        return "" if outcome.fallback in used else outcome.fallback
