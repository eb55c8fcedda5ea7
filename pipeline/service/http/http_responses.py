"""JSON and ErrorResponse objects as HTTP responses."""

from __future__ import annotations

import orjson
from aiohttp import web

from pipeline.service.refusals import Refusal


def json_response(body: object, *, status: int = 200, media_type: str = "application/json") -> web.Response:
    """Return a response with a JSON body."""
    return web.Response(status=status, body=orjson.dumps(body), content_type=media_type, charset="utf-8")


def error_response(refusal: Refusal) -> web.Response:
    """Return a response with an ErrorResponse body."""
    response = json_response(refusal.body(), status=refusal.status)
    response.headers.update(refusal.headers)
    return response
