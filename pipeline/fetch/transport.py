"""One send over aiohttp: the key goes in at the last moment, faults come back as Problems, bodies are capped."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import SimpleNamespace, TracebackType
from typing import Final, Self

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError
from anyio import current_time
from pydantic import SecretStr
from yarl import URL

from pipeline.errors import PipelineError
from pipeline.fetch.body import Body
from pipeline.fetch.client_state import ClientState
from pipeline.fetch.pacing.pace import Permit
from pipeline.fetch.pacing.pacer import Pacer
from pipeline.fetch.policy import FetchCounters
from pipeline.fetch.redaction import Redactor
from pipeline.guards.signed_urls import signatures
from pipeline.network.connector import CleanConnector
from pipeline.network.environment import proxy_for, tls_context
from pipeline.providers.base import Service, TokenService
from pipeline.records import Answer, Problem, ProblemKind, Request

MAX_BODY: Final = 32 * 1024 * 1024  # decoded bytes
CONNECT_TIMEOUT: Final = 10.0
MAX_HEADER_BYTES: Final = 256 * 1024  # of one header; an answer that was paid for is not lost to a long one
MAX_HEADERS: Final = 2000
_GZIP: Final = b"\x1f\x8b"
# The first that fits decides: a time-out is an OSError too, a certificate error a connection error.
_FAULTS: Final[tuple[tuple[type[BaseException], ProblemKind, str, str], ...]] = (
    (aiohttp.ClientConnectorCertificateError, "misconfigured", "tls-certificate", "its certificate is not valid"),
    (aiohttp.ClientSSLError, "transient", "tls-failed", "no encrypted connection could be made"),
    (aiohttp.ClientProxyConnectionError, "transient", "proxy-unreachable", "the proxy of HTTPS_PROXY can't be reached"),
    (aiohttp.ClientHttpProxyError, "transient", "proxy-refused", "the proxy of HTTPS_PROXY makes no connection"),
    (aiohttp.ConnectionTimeoutError, "transient", "connect-timed-out", "the service could not be reached in time"),
    (TimeoutError, "transient", "timed-out", "the service did not answer in time"),
    (aiohttp.ClientConnectorDNSError, "transient", "name-not-found", "the name of the service could not be looked up"),
    (aiohttp.ClientConnectorError, "transient", "connect-failed", "no connection to the service could be made"),
    (aiohttp.InvalidURL, "row", "bad-url", "the request makes no valid URL"),
    (ContentEncodingError, "transient", "bad-encoding", "the body is not encoded as its header says"),
    (aiohttp.ClientPayloadError, "transient", "truncated-body", "the body ended too early"),
    (aiohttp.ClientResponseError, "transient", "bad-http", "what came back is not HTTP"),
    (aiohttp.ClientError, "transient", "reset", "the connection broke off"),
    (OSError, "transient", "reset", "the connection broke off"),
)  # fmt: skip


class WithheldError(aiohttp.ClientError):
    """A pause began between the permit and the first byte: nothing was sent."""


class _BrokenOffError(aiohttp.ClientError):
    """A connection that broke off, in a form that aiohttp does not silently send again for."""


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a request by itself: every send needs its own permit and charge."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise _BrokenOffError(str(exc)) from exc


class Transport:
    """The connections to one service; sends requests one at a time each, at most `timeout` seconds long.

    The key, or the token that came for it, goes into a request at the last moment. What comes back is cleaned of it
    before anyone else sees it.
    """

    def __init__(
        self,
        service: Service,
        key: SecretStr | None,
        timeout: float,
        *,
        pacer: Pacer,
        counters: FetchCounters,
        client_state: ClientState,
    ) -> None:
        self._service = service
        self._key = key
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(CONNECT_TIMEOUT, timeout))
        self._pacer = pacer
        self._counters = counters
        self._client_state = client_state
        self._proxy = proxy_for(service.endpoint)
        password = self._proxy.password if self._proxy else None
        self._tokens = service if isinstance(service, TokenService) else None
        self._token = key
        self._secrets = [*(service.secrets(key) if key else ()), *([password] if password else ())]
        self._redactor = Redactor(self._secrets)
        self._base = str(URL(service.endpoint))

    async def __aenter__(self) -> Self:
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(self._on_headers)
        connector = CleanConnector(limit=0, ssl=tls_context(self._service.endpoint))
        self._session = self._open(connector)
        # A trace costs a third of a request, so that only requests without a body have one: their head is all there is.
        self._bodiless = self._open(connector, trace)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._bodiless.close()
        await self._session.close()

    async def send(self, request: Request, permit: Permit) -> Answer | Problem:
        """Send once and read the whole answer; a fault of the network is a Problem, never an exception.

        Raises WithheldError where a pause has begun before the first byte could leave.
        """
        if (problem := await self._renew_token()) is not None:
            return problem
        asked_at, redactor = time.time(), self._redactor_for(request)
        try:
            async with self._exchange(request, permit) as response:
                self._leaves(permit)  # an answer proves it, whatever was seen
                body = await _read_capped(response)
                headers, target = self._kept(response.headers, redactor), response.headers.get("location", "nowhere")
                status = response.status
                self._client_state.remember(self._without_secrets(response.headers, redactor))
            if permit.sent_at is None:
                await self._settle(permit)  # the end of the answer breaks off whatever still sends
        except WithheldError:
            raise
        except (aiohttp.ClientError, OSError) as exc:
            if isinstance(exc.__cause__, (WithheldError, PipelineError)):  # what Body's callbacks raise, in wrapping
                raise exc.__cause__ from None
            return _translate(exc)
        if body is None:
            return _problem("row", "body-too-large", f"the answer is larger than {MAX_BODY} bytes", status)
        if 300 <= status < 400:
            return _problem("misconfigured", "redirected", _redirect_text(redactor.clean(target)), status)
        ms = (current_time() - permit.granted_at) * 1000
        body = redactor.clean_bytes(body)
        return Answer(status=status, headers=headers, body=body, asked_at=asked_at, ms=ms)

    async def _renew_token(self) -> Problem | None:
        """Get the token of the next request, where the service wants one; return why there is none."""
        if self._tokens is None or self._key is None:
            return None
        token = await self._tokens.token(self._key)
        if isinstance(token, Problem):
            return token
        if token != self._token:
            self._token = token
            self._redactor = Redactor(self._all_secrets())
        return None

    def _open(self, connector: aiohttp.TCPConnector, *traces: aiohttp.TraceConfig) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            connector_owner=not traces,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            trace_configs=list(traces),
            trust_env=False,  # see network/environment.py: also ~/.netrc would be read
            proxy=self._proxy,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
        )

    def _exchange(self, request: Request, permit: Permit) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        if self._token is not None:
            request = self._service.authorise(request, self._token)
        # A target is encoded already: aiohttp would decode what it thinks needs no encoding, such as commas.
        url = URL(self._base + request.target, encoded=True)
        headers = {**self._client_state.headers, **dict(request.headers)}
        if request.body:
            body = Body(request.body, before=partial(self._begin, permit), after=partial(self._settle, permit))
            ask = partial(self._session.request, data=body)
        else:
            ask = partial(self._bodiless.request, trace_request_ctx=permit)
        # aiohttp repeats idempotent methods only
        repeats = () if request.method == "POST" else (_once,)
        return ask(request.method, url, headers=headers, allow_redirects=False, middlewares=repeats)

    def _redactor_for(self, request: Request) -> Redactor:
        """Return what cuts the key out of an answer, and what signs the URL of the picture that it is about."""
        if request.form != "url":
            return self._redactor
        signed = signatures(request.target) | signatures(request.body.decode("latin-1"))
        return Redactor([*self._all_secrets(), *signed]) if signed else self._redactor

    def _all_secrets(self) -> list[str]:
        token = self._token if self._tokens is not None else None
        return [*self._secrets, *([token.get_secret_value()] if token else ())]

    def _kept(self, headers: Mapping[str, str], redactor: Redactor) -> dict[str, str]:
        """Keep what is worth keeping, without the key; bytes that are no ASCII would break every later encoding."""
        return {
            name: redactor.clean(value.encode("ascii", "replace").decode("ascii"))
            for name in self._service.kept_headers
            if (value := headers.get(name))
        }

    def _without_secrets(self, headers: Mapping[str, str], redactor: Redactor) -> Mapping[str, str]:
        """Return the header that names this client, unless it holds a secret: what is sent back is sent as it came."""
        name = (self._service.client_state or "").lower()
        value = headers.get(name, "")
        return {name: value} if value and redactor.clean(value) == value else {}

    async def _on_headers(
        self, _: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        permit = context.trace_request_ctx
        self._begin(permit)
        await self._settle(permit)

    def _begin(self, permit: Permit) -> None:
        """Let the first byte leave, unless a pause has begun."""
        if current_time() < self._pacer.pause.until:
            raise WithheldError
        self._leaves(permit)

    def _leaves(self, permit: Permit) -> None:
        """Count the send as a call, once: from here on it may be one."""
        if not permit.left:
            permit.left = True
            self._counters.calls += 1

    async def _settle(self, permit: Permit) -> None:
        """Note the instant at which the first byte has been handed to the socket."""
        await self._pacer.settle(permit, sent=True)
        self._counters.sent_while_paused += (permit.sent_at or 0.0) < self._pacer.pause.until


async def _read_capped(response: aiohttp.ClientResponse) -> bytes | None:
    """Read the decoded body; None where it is larger than MAX_BODY, and the connection is given up."""
    parts, size = [], 0
    while part := await response.content.readany():
        size += len(part)
        if size > MAX_BODY:
            response.close()
            return None
        parts.append(part)
    body = b"".join(parts)
    return _gunzipped(body) if body.startswith(_GZIP) else body


def _gunzipped(body: bytes) -> bytes | None:
    """Decompress a body whose header names gzip by another name (x-gzip), or not at all; None where it is too large.

    A body that is no gzip after all, or cut off, is returned as it is.
    """
    try:
        plain = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, MAX_BODY + 1)
    except zlib.error:
        return body
    return plain if len(plain) <= MAX_BODY else None


def _redirect_text(target: str) -> str:
    return f"the service redirects to {target[:200]}; set provider.endpoint to the address that answers itself"


def _translate(exc: Exception) -> Problem:
    """Turn a fault into a Problem by str() alone: the repr of aiohttp's errors holds the request's headers."""
    inner = exc.__cause__ if isinstance(exc.__cause__, ContentEncodingError) else exc
    _, kind, code, sentence = next(fault for fault in _FAULTS if isinstance(inner, fault[0]))
    return _problem(kind, code, sentence, None)


def _problem(kind: ProblemKind, code: str, message: str, status: int | None) -> Problem:
    return Problem(kind=kind, code=code, message=message, http_status=status)
