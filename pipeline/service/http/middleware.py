"""aiohttp middleware: the access log, and ErrorResponse bodies for aiohttp's own errors."""

from __future__ import annotations

import time

from aiohttp import web
from aiohttp.typedefs import Handler

from pipeline.service import refusals
from pipeline.service.http.dispatch import CLIENT_GONE
from pipeline.service.http.http_responses import error_response
from pipeline.service.http.logs import access_log
from pipeline.service.http.redaction import shown_path
from pipeline.service.http.wire_names import HEADERS
from pipeline.service.refusals import Refused


@web.middleware
async def write_access_log(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log one line for each request, with client, method, path, status and duration, but no query and no headers."""
    started, status, trace_id = time.monotonic(), CLIENT_GONE, "-"
    try:
        response = await handler(request)
        status, trace_id = response.status, response.headers.get(HEADERS.trace_id, "-")
        return response
    finally:
        path, ms = shown_path(request.path), (time.monotonic() - started) * 1000
        access_log.info("%s %s %s %d %.0f ms %s", request.remote, request.method, path, status, ms, trace_id)


@web.middleware
async def send_protocol_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send aiohttp's own 404 and 405 as ErrorResponse objects, like every other error."""
    try:
        return await handler(request)
    except Refused as exc:
        return error_response(exc.refusal)
    except web.HTTPMethodNotAllowed as exc:
        allowed = ", ".join(sorted(exc.allowed_methods))
        return error_response(refusals.method_not_allowed(request.method, allowed).refusal)
    except web.HTTPNotFound:
        return error_response(refusals.not_found(request.path).refusal)


async def protect_from_pages(_request: web.Request, response: web.StreamResponse) -> None:
    """Forbid browsers to give a response to pages of other sites, or to guess another content type."""
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
