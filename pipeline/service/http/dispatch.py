"""Passes each request to its endpoint: checks access, reads the body, sets headers, sends errors, keeps the journal."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import anyio
from aiohttp import web
from aiohttp.typedefs import Handler

from pipeline.service import refusals
from pipeline.service.access.authenticator import Authenticator
from pipeline.service.access.load_limit import LoadLimit
from pipeline.service.http.call import Call, Endpoint, new_id
from pipeline.service.http.common_parameters import read_common_parameters
from pipeline.service.http.faults import FAULT_HEADER, FaultScript, replacement_response, send_half
from pipeline.service.http.http_responses import error_response, json_response
from pipeline.service.http.journal import Journal
from pipeline.service.http.redaction import Redactor
from pipeline.service.http.wire_names import HEADERS
from pipeline.service.refusals import Refused

MAX_BODY_BYTES = 4 * 1024 * 1024
BODY_TIMEOUT = 60.0
CLIENT_GONE = 499
log = logging.getLogger("pipeline.service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """Turns endpoints into aiohttp handlers; `faults` is None if requests may not ask for faults."""

    authenticator: Authenticator
    load: LoadLimit
    journal: Journal
    redactor: Redactor
    faults: FaultScript | None = None
    https_only: bool = False

    def handler(self, endpoint: Endpoint) -> Handler:
        """Return an aiohttp handler for an endpoint that returns JSON."""

        async def handle(request: web.Request) -> web.StreamResponse:
            call = Call(request=request)
            status = CLIENT_GONE
            try:
                response = await self._respond(call, endpoint)
                status = response.status
                return await self._complete(call, response)
            finally:
                self.journal.record(call.journal_entry(status, self.redactor))

        return handle

    async def _respond(self, call: Call, endpoint: Endpoint) -> web.StreamResponse:
        try:
            with self.load.enter():  # before the key is charged: a request that is turned away costs nothing
                self._check_access(call.request)
                return await self._process(call, endpoint)
        except Refused as exc:
            return error_response(exc.refusal)
        except Exception:  # the client always gets a response, and the log the traceback
            log.exception("call %s failed", call.trace_id)
            return error_response(refusals.unexpected_error().refusal)

    async def _process(self, call: Call, endpoint: Endpoint) -> web.StreamResponse:
        request = call.request
        call.body = await read_body(request)
        call.fault = self.faults.next(request.headers.get(FAULT_HEADER)) if self.faults is not None else None
        if call.fault is not None and (other := await replacement_response(call.fault, request)) is not None:
            return other
        url_length = len(f"{request.scheme}://{request.host}{request.raw_path}")
        call.common = read_common_parameters(url_length, call.query, request.headers)
        return json_response(await endpoint(call), media_type=call.common.media_type)

    def _check_access(self, request: web.Request) -> None:
        if self.https_only and not arrived_as_https(request):
            raise refusals.https_required()
        self.authenticator.admit(request.headers, request.headers.getall(HEADERS.key, []))

    async def _complete(self, call: Call, response: web.StreamResponse) -> web.StreamResponse:
        """Add the protocol's headers, and cut the response in half if a fault says so."""
        response.headers[HEADERS.trace_id] = call.trace_id
        response.headers[HEADERS.client_id] = call.request.headers.get(HEADERS.client_id) or new_id()
        if call.common is not None:
            response.headers[HEADERS.market] = call.common.market
        if call.fault is not None and call.fault.kind == "truncate" and isinstance(response, web.Response):
            return await send_half(call.request, response)
        return response


def arrived_as_https(request: web.Request) -> bool:
    """Return True if the client used HTTPS, according to the first proxy; the service itself has plain HTTP only."""
    scheme, _, _ = request.headers.get("X-Forwarded-Proto", request.scheme).partition(",")
    return scheme.strip().lower() == "https"


async def read_body(request: web.Request) -> bytes:
    """Read a body of at most MAX_BODY_BYTES within BODY_TIMEOUT; raises Refused if it is longer or slower."""
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
