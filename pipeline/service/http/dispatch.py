"""Passes each request to its endpoint: checks access, reads the body, sets headers, sends errors, keeps the journal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler

from pipeline.service import refusals
from pipeline.service.access.admission import Admission, AdmissionPool
from pipeline.service.access.authenticator import Authenticator
from pipeline.service.access.callers import caller_at
from pipeline.service.access.fair_share import FairShare
from pipeline.service.http.body import BodyReader
from pipeline.service.http.call import Call, Endpoint, new_id
from pipeline.service.http.common_parameters import check_headers, read_common_parameters
from pipeline.service.http.faults import FAULT_HEADER, FaultScript, replacement_response, send_half
from pipeline.service.http.http_responses import error_response, json_response
from pipeline.service.http.journal import Journal
from pipeline.service.http.json_ld import MEDIA_TYPE, json_ld
from pipeline.service.http.redaction import Redactor
from pipeline.service.http.wire_names import HEADERS
from pipeline.service.refusals import Refused

CLIENT_GONE = 499
log = logging.getLogger("pipeline.service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """Turns endpoints into aiohttp handlers; `faults` is None if requests may not ask for faults.

    `requests` has the requests in progress, `memory` what their bodies take.
    """

    authenticator: Authenticator
    requests: AdmissionPool
    memory: FairShare
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
            return await self._process(call, endpoint)
        except Refused as exc:
            return error_response(exc.refusal)
        except ConnectionError:  # the client has gone
            raise
        except Exception:  # the client always gets a response, and the log the traceback
            log.exception("call %s failed", call.trace_id)
            return error_response(refusals.unexpected_error().refusal)

    async def _process(self, call: Call, endpoint: Endpoint) -> web.StreamResponse:
        request = call.request
        check_headers(request.headers)
        if self.https_only and not arrived_as_https(request):
            raise refusals.https_required()
        account = self.authenticator.authenticate(request.headers, request.headers.getall(HEADERS.key, []))
        call.caller = account.digest.hex() or caller_at(request.remote)
        with admitted(self.requests, call.caller) as admission:
            self.authenticator.charge(account)  # now: a request that is turned away costs nothing
            with closing(BodyReader(self.requests, self.memory, admission)) as reader:
                call.body = await reader.read(request)
                return await self._answer(call, endpoint)

    async def _answer(self, call: Call, endpoint: Endpoint) -> web.StreamResponse:
        request = call.request
        call.fault = self.faults.next(request.headers.get(FAULT_HEADER)) if self.faults is not None else None
        if call.fault is not None and (other := await replacement_response(call.fault, request)) is not None:
            return other
        url_length = len(f"{request.scheme}://{request.host}{request.raw_path}")
        call.common = read_common_parameters(url_length, call.query, request.headers)
        body, media_type = await endpoint(call), call.common.media_type
        return json_response(json_ld(body) if media_type == MEDIA_TYPE else body, media_type=media_type)

    async def _complete(self, call: Call, response: web.StreamResponse) -> web.StreamResponse:
        """Add the protocol's headers, and cut the response in half if a fault says so."""
        response.headers[HEADERS.trace_id] = call.trace_id
        client_id = call.request.headers.get(HEADERS.client_id, "")
        response.headers[HEADERS.client_id] = client_id if client_id.isascii() and client_id else new_id()
        if call.common is not None:
            response.headers[HEADERS.market] = call.common.market
        if call.fault is not None and call.fault.kind == "truncate" and isinstance(response, web.Response):
            return await send_half(call.request, response)
        return response


@contextmanager
def admitted(requests: AdmissionPool, caller: str) -> Iterator[Admission]:
    """Hold one of the places for requests; raises Refused if there is none for this caller."""
    admission = requests.admit(caller)
    if admission is None:
        raise refusals.too_many_requests(1, "The service has as many requests in progress as it accepts.")
    try:
        yield admission
    finally:
        requests.leave(admission)


def arrived_as_https(request: web.Request) -> bool:
    """Return True if the client used HTTPS, according to the first proxy; the service itself has plain HTTP only."""
    scheme, _, _ = request.headers.get("X-Forwarded-Proto", request.scheme).partition(",")
    return scheme.strip().lower() == "https"
