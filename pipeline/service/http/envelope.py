"""What surrounds every call: arrival, trace id, headers of the answer, errors as ErrorResponse, faults, the journal."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import uuid4

import anyio
import orjson
from aiohttp import web

from pipeline.service import refusals
from pipeline.service.access.limits import KEY_HEADER, Doorman, Workload
from pipeline.service.http.faults import FAULT_HEADER, Fault, FaultScript, instead, truncate
from pipeline.service.http.journal import Journal, PictureSeen, Seen, public_headers, public_query
from pipeline.service.http.logs import access_log
from pipeline.service.http.objects import Json
from pipeline.service.http.rules import Conventions, check_conventions, read_query
from pipeline.service.refusals import Refusal, Refused

TRACE_HEADER = "BingAPIs-TraceId"
MAX_BODY_BYTES = 4 * 1024 * 1024
BODY_TIMEOUT = 60.0
CLIENT_GONE = 499
log = logging.getLogger("pipeline.service")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Endpoint = Callable[["Call"], Awaitable[Json]]


def new_id() -> str:
    """Return a fresh trace or client id in the protocol's shape: 32 upper-case hex digits."""
    return uuid4().hex.upper()


@dataclass(slots=True, kw_only=True)
class Call:
    """One request on its way through the service; filled in as more becomes known."""

    request: web.Request
    at: float = field(default_factory=time.time)
    trace_id: str = field(default_factory=new_id)
    conventions: Conventions | None = None
    body: bytes = b""
    picture: PictureSeen | None = None
    fault: Fault | None = None

    @property
    def query(self) -> dict[str, str]:
        """Return the query's parameters."""
        return read_query(self.request.query.items())

    def seen(self, status: int) -> Seen:
        """Sum up the request for the journal."""
        request = self.request
        return Seen(
            at=self.at,
            ms=round((time.time() - self.at) * 1000, 3),
            method=request.method,
            path=request.path,
            status=status,
            trace_id=self.trace_id,
            query=public_query(request.query_string),
            headers=public_headers(request.headers),
            body_bytes=len(self.body),
            body_sha256=sha256(self.body).hexdigest() if self.body else None,
            picture=self.picture,
            fault=self.fault.kind if self.fault else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Wraps the endpoints; `faults` is None where none may be asked for."""

    doorman: Doorman
    workload: Workload
    journal: Journal
    faults: FaultScript | None = None
    https_only: bool = False

    def wrap(self, endpoint: Endpoint) -> Handler:
        """Make an aiohttp handler of an endpoint that returns JSON."""

        async def handle(request: web.Request) -> web.StreamResponse:
            call = Call(request=request)
            status = CLIENT_GONE
            try:
                response = await self._answer(call, endpoint)
                status = response.status
                return await self._send(call, response)
            finally:
                self.journal.note(call.seen(status))

        return handle

    async def _answer(self, call: Call, endpoint: Endpoint) -> web.StreamResponse:
        try:
            with self.workload.one_more():  # before the key is charged: what is turned away costs nothing
                self._check(call.request)
                return await self._work(call, endpoint)
        except Refused as exc:
            return refuse(exc.refusal)
        except Exception:  # whatever it is, the client gets an answer, and the log the traceback
            log.exception("call %s failed", call.trace_id)
            return refuse(refusals.unexpected().refusal)

    async def _work(self, call: Call, endpoint: Endpoint) -> web.StreamResponse:
        request = call.request
        call.body = await read_body(request)
        call.fault = self.faults.next(request.headers.get(FAULT_HEADER)) if self.faults is not None else None
        if call.fault is not None and (other := await instead(call.fault, request)) is not None:
            return other
        length = len(f"{request.scheme}://{request.host}{request.raw_path}")
        call.conventions = check_conventions(length, call.query, request.headers)
        return json_response(await endpoint(call), media_type=call.conventions.media_type)

    def _check(self, request: web.Request) -> None:
        if self.https_only and not arrived_as_https(request):
            raise refusals.https_only()
        self.doorman.admit(request.headers, request.headers.getall(KEY_HEADER, []))

    async def _send(self, call: Call, response: web.StreamResponse) -> web.StreamResponse:
        response.headers[TRACE_HEADER] = call.trace_id
        response.headers["X-MSEdge-ClientID"] = call.request.headers.get("X-MSEdge-ClientID") or new_id()
        if call.conventions is not None:
            response.headers["BingAPIs-Market"] = call.conventions.market
        if call.fault is not None and call.fault.kind == "truncate" and isinstance(response, web.Response):
            return await truncate(call.request, response)
        return response


def arrived_as_https(request: web.Request) -> bool:
    """Tell whether the caller spoke HTTPS, as the first proxy in front says; the service itself speaks HTTP alone."""
    spoken, _, _ = request.headers.get("X-Forwarded-Proto", request.scheme).partition(",")
    return spoken.strip().lower() == "https"


async def read_body(request: web.Request) -> bytes:
    """Read a body of at most MAX_BODY_BYTES, within BODY_TIMEOUT; raises Refused where it is longer or slower."""
    body = bytearray()
    try:
        with anyio.fail_after(BODY_TIMEOUT):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise refusals.invalid("body", f"> {MAX_BODY_BYTES}", "the body is longer than any allowed picture")
    except TimeoutError as exc:
        raise refusals.invalid("body", len(body), f"the body didn't arrive within {BODY_TIMEOUT:.0f} s") from exc
    except web.RequestPayloadError as exc:
        raise refusals.invalid("body", len(body), "the body isn't encoded as its Content-Encoding says") from exc
    return bytes(body)


def json_response(body: object, *, status: int = 200, media_type: str = "application/json") -> web.Response:
    """Return a JSON answer."""
    return web.Response(status=status, body=orjson.dumps(body), content_type=media_type, charset="utf-8")


def refuse(refusal: Refusal) -> web.Response:
    """Return an ErrorResponse."""
    response = json_response(refusal.body(), status=refusal.status)
    response.headers.update(refusal.headers)
    return response


@web.middleware
async def write_access_log(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log one line for each request: who, what, how it ended, how long it took; never a header, nor the query."""
    began, status, trace_id = time.monotonic(), CLIENT_GONE, "-"
    try:
        response = await handler(request)
        status, trace_id = response.status, response.headers.get(TRACE_HEADER, "-")
        return response
    finally:
        path = request.raw_path.partition("?")[0]  # still percent-encoded: no line end gets through
        ms = (time.monotonic() - began) * 1000
        access_log.info("%s %s %s %d %.0f ms %s", request.remote, request.method, path, status, ms, trace_id)


@web.middleware
async def speak_of_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn aiohttp's own 404 and 405 into ErrorResponse objects, so that a wrong path reads like any other error."""
    try:
        return await handler(request)
    except Refused as exc:
        return refuse(exc.refusal)
    except web.HTTPMethodNotAllowed as exc:
        allowed = ", ".join(sorted(exc.allowed_methods))
        return refuse(refusals.method_not_allowed(request.method, allowed).refusal)
    except web.HTTPNotFound:
        return refuse(refusals.not_found(request.path).refusal)
