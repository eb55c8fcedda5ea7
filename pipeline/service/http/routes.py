"""Finds the endpoint of a path as clients write it: in any case, with doubled slashes, with a slash at the end."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from pipeline.service.http.wire_names import PATH_PREFIXES
from pipeline.service.refusals import method_not_allowed, not_found

_SLASHES = re.compile("/+")
FOLDER = "images"


class EndpointRoutes:
    """The endpoints by their names; each has a handler for every method that it takes. HEAD is GET without a body."""

    def __init__(self, endpoints: Mapping[str, Mapping[str, Handler]]) -> None:
        self._endpoints = {
            f"{prefix}/{FOLDER}/{name}".lower(): handlers
            for prefix in PATH_PREFIXES
            for name, handlers in endpoints.items()
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass a request to its endpoint; raises Refused (404, 405)."""
        handlers = self._endpoints.get(normal_path(request.path))
        if handlers is None:
            raise not_found(request.path)
        handler = handlers.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            raise method_not_allowed(request.method, ", ".join(sorted(handlers)))
        return await handler(request)


def normal_path(path: str) -> str:
    """Return a path in lower case, with single slashes and none at its end."""
    return _SLASHES.sub("/", path).rstrip("/").lower()
