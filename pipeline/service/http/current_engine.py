"""The endpoints over the engine in use, which can be replaced while requests are in progress."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable

import anyio.to_thread

from pipeline.errors import ServiceError
from pipeline.service.findings import Engine
from pipeline.service.http.call import Call, Endpoint
from pipeline.service.http.endpoints import Endpoints
from pipeline.service.http.json_objects import Json, ServiceLinks
from pipeline.service.http.lookup import Lookup
from pipeline.service.search.query_log import QueryLog

EndpointMethod = Callable[[Endpoints, Call], Awaitable[Json]]


class CurrentEngine:
    """The engine in use, and the endpoints over it."""

    def __init__(self, lookup: Lookup, log: QueryLog, links: ServiceLinks) -> None:
        self._lookup, self._log, self._links = lookup, log, links
        self.endpoints = Endpoints(lookup, log, links)

    @property
    def engine(self) -> Engine:
        """The engine in use."""
        return self._lookup.engine

    async def replace_engine(self, engine: Engine) -> None:
        """Use another engine as soon as its words are indexed; recent uploads and the limits of work stay.

        Raises ServiceError if the words can't be indexed; the old engine then stays in use.
        """
        lookup = self._lookup.with_engine(engine)
        endpoints = Endpoints(lookup, self._log, self._links)
        try:
            await anyio.to_thread.run_sync(endpoints.load, abandon_on_cancel=True)
        except (OSError, sqlite3.Error) as exc:
            raise ServiceError(f"the words of the catalogue can't be indexed ({exc})") from exc
        self._lookup, self.endpoints = lookup, endpoints

    def endpoint(self, method: EndpointMethod) -> Endpoint:
        """Return an endpoint that calls `method` with the endpoints in use when a call starts.

        A call that is in progress when the engine is replaced finishes with the old one.
        """

        async def call_current(call: Call) -> Json:
            return await method(self.endpoints, call)

        return call_current
