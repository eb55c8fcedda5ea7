"""The generation that answers: replaced as a whole, while calls in work stay with the one that they began with."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from copy import copy

import anyio.to_thread

from pipeline.errors import ServiceError
from pipeline.service.findings import Engine
from pipeline.service.http.endpoints import Endpoints
from pipeline.service.http.envelope import Call
from pipeline.service.http.lookup import Lookup
from pipeline.service.http.objects import Json, Links
from pipeline.service.search.query_log import QueryLog

Method = Callable[[Endpoints, Call], Awaitable[Json]]


class Current:
    """The endpoints over the engine in use."""

    def __init__(self, lookup: Lookup, log: QueryLog, links: Links) -> None:
        self._lookup, self._log, self._links = lookup, log, links
        self.endpoints = Endpoints(lookup, log, links)

    @property
    def engine(self) -> Engine:
        """The engine in use."""
        return self._lookup.engine

    async def use(self, engine: Engine) -> None:
        """Answer from another engine as soon as it is ready; uploads stay known, and the bounds of work are kept.

        Raises ServiceError where its words can't be indexed; the old engine goes on answering.
        """
        lookup = copy(self._lookup)
        lookup.engine = engine
        endpoints = Endpoints(lookup, self._log, self._links)
        try:
            await anyio.to_thread.run_sync(endpoints.load, abandon_on_cancel=True)
        except (OSError, sqlite3.Error) as exc:
            raise ServiceError(f"the words of the catalogue can't be indexed ({exc})") from exc
        self._lookup, self.endpoints = lookup, endpoints

    def ask(self, method: Method) -> Callable[[Call], Awaitable[Json]]:
        """Return what gives a call to the endpoint of the engine that is in use when the call begins."""

        async def endpoint(call: Call) -> Json:
            return await method(self.endpoints, call)

        return endpoint
