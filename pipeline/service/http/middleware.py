"""aiohttp middleware: what holds for every request, whatever its path."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

import anyio
from aiohttp import web
from aiohttp.typedefs import Handler

from pipeline.service import refusals
from pipeline.service.http.call import new_id
from pipeline.service.http.dispatch import CLIENT_GONE
from pipeline.service.http.http_responses import error_response
from pipeline.service.http.logs import access_log
from pipeline.service.http.redaction import shown_path
from pipeline.service.http.wire_names import HEADERS
from pipeline.service.refusals import Refused

log = logging.getLogger("pipeline.service")


@web.middleware
async def write_access_log(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log one line for each request, with client, method, path, status and duration, but no query and no headers.

    Every response has a trace id, also one without an endpoint.
    """
    started, status, trace_id = time.monotonic(), CLIENT_GONE, "-"
    try:
        response = await handler(request)
        status, trace_id = response.status, response.headers.setdefault(HEADERS.trace_id, new_id())
        return response
    finally:
        path, ms = shown_path(request.path), (time.monotonic() - started) * 1000
        access_log.info("%s %s %s %d %.0f ms %s", request.remote, request.method, path, status, ms, trace_id)


@web.middleware
async def finish_threads(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a call whose client has gone end what it does in a thread, before it gives back its slot.

    aiohttp cancels the task, which would leave the thread alone. A task group turns that into anyio's cancellation,
    which waits for threads.
    """
    response: web.StreamResponse | None = None

    async def call() -> None:
        nonlocal response
        with suppress(ConnectionError):
            response = await handler(request)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
    if response is None:
        raise ConnectionResetError("the client has gone")
    return response


@web.middleware
async def send_protocol_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send every error as an ErrorResponse: refusals, aiohttp's own 404 and 405, and bugs, which are logged."""
    try:
        return await handler(request)
    except Refused as exc:
        return error_response(exc.refusal)
    except web.HTTPMethodNotAllowed as exc:
        allowed = ", ".join(sorted(exc.allowed_methods))
        return error_response(refusals.method_not_allowed(request.method, allowed).refusal)
    except web.HTTPNotFound:
        return error_response(refusals.not_found(request.path).refusal)
    except web.HTTPException as exc:
        return error_response(refusals.refused_by_http(exc.status, exc.reason).refusal)
    except ConnectionError:  # the client has gone
        raise
    except Exception:
        log.exception("a request failed")
        return error_response(refusals.unexpected_error().refusal)


async def protect_from_pages(_request: web.Request, response: web.StreamResponse) -> None:
    """Forbid browsers to hand a response to pages of other sites, and to take it for anything else than it says."""
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
