"""A picture behind a URL, fetched with every guard: size, time, redirects, addresses, and a look at what came."""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Self

import anyio
from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    InvalidURL,
    TCPConnector,
)
from yarl import URL

from pipeline.errors import SourceError
from pipeline.prepare.addresses import AddressRefused, PublicResolver, public_socket
from pipeline.prepare.sniff import looks_like_picture, what_else
from pipeline.prepare.source import check_length

_MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_CONNECT_SECONDS = 15.0
_SILENCE_SECONDS = 30.0
_PER_HOST = 8
_CHUNK = 1 << 16
_HEADERS = {"User-Agent": "image-insights-pipeline", "Accept": "image/*", "Accept-Encoding": "identity"}
_RETRYABLE = {408, 425, 429}


class Downloader:
    """An async context manager around one connection pool: no cookies, no proxies, no credentials."""

    def __init__(self, *, max_bytes: int, timeout: float, allow_private: bool) -> None:
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._allow_private = allow_private
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        guarded = not self._allow_private
        self._session = ClientSession(
            connector=TCPConnector(
                limit_per_host=_PER_HOST,
                resolver=PublicResolver() if guarded else None,
                socket_factory=public_socket if guarded else None,
            ),
            cookie_jar=DummyCookieJar(),
            trust_env=False,
            headers=_HEADERS,
            timeout=ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def fetch(self, url: str) -> bytes:
        """Return the bytes behind an http(s) URL; raises SourceError, retryable where a later try may help.

        Codes: bad-url, refused-address, refused-redirect, too-many-redirects, not-found, forbidden, http-NNN, timeout,
        unreachable, bad-certificate, broken-download, too-large, empty, not-a-picture, unsupported-format.
        """
        try:
            with anyio.fail_after(self._timeout):
                data = await self._follow(_parse(url))
        except (TimeoutError, ClientError, OSError, ssl.SSLError) as exc:
            raise _translated(exc, self._timeout) from exc
        if not looks_like_picture(data):
            code, name = what_else(data)
            raise SourceError(code, f"the URL leads to {name}")
        return data

    async def _follow(self, url: URL) -> bytes:
        for _ in range(_MAX_REDIRECTS + 1):
            found = await self._get(url)
            if isinstance(found, bytes):
                return found
            url = _next_hop(url, found)
        raise SourceError("too-many-redirects", f"more than {_MAX_REDIRECTS} redirects")

    async def _get(self, url: URL) -> bytes | str:
        """Return the body, or where a redirect leads."""
        assert self._session is not None
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status in _REDIRECTS and (location := response.headers.get("Location")):
                return location
            _check_status(response.status)
            return await self._body(response)

    async def _body(self, response: ClientResponse) -> bytes:
        if response.content_length is not None:
            check_length("the download", response.content_length, self._max_bytes)
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            check_length("the download", len(body), self._max_bytes)
        check_length("the download", len(body), self._max_bytes)
        return bytes(body)


def _parse(text: str) -> URL:
    """Return the URL to ask, kept verbatim where it is encoded already: a signed URL breaks when it is rewritten."""
    try:
        plain = text.isascii() and text.isprintable() and not set(text) & set(' "<>\\^`{|}')
        url = URL(text.partition("#")[0], encoded=plain)
        allowed = url.scheme in {"http", "https"} and bool(url.host)
    except ValueError:
        allowed = False
    if not allowed:
        raise SourceError("bad-url", "it is no http(s) URL")
    if url.user is not None or url.password is not None:
        raise SourceError("bad-url", "a URL with a user or password is refused")
    return url


def _next_hop(url: URL, location: str) -> URL:
    try:
        target = _parse(str(url.join(URL(location, encoded=location.isascii()))))
    except (SourceError, ValueError) as exc:
        raise SourceError("refused-redirect", f"the redirect is refused: {exc}") from exc
    if url.scheme == "https" and target.scheme == "http":
        raise SourceError("refused-redirect", "the redirect leads from https to plain http")
    return target


def _check_status(status: int) -> None:
    if status == 200:
        return
    if status in {404, 410}:
        raise SourceError("not-found", f"the server has no such picture (HTTP {status})")
    if status in {401, 403}:
        raise SourceError("forbidden", f"the server refuses the picture (HTTP {status})")
    raise SourceError(
        f"http-{status}", f"the server answers HTTP {status}", retryable=status >= 500 or status in _RETRYABLE
    )


def _translated(error: Exception, timeout: float) -> SourceError:
    """Say what went wrong; texts of aiohttp's errors are not passed on, they may show the whole URL."""
    if isinstance(error, TimeoutError):
        return SourceError("timeout", f"no answer in time (prepare.download_timeout is {timeout:g} s)", retryable=True)
    if isinstance(error, ClientConnectorError) and isinstance(error.os_error, AddressRefused):
        return SourceError("refused-address", f"{error.os_error}; prepare.allow_private would allow it")
    if isinstance(error, (ClientConnectorCertificateError, ssl.SSLError)):
        return SourceError("bad-certificate", "the server's certificate can't be trusted")
    if isinstance(error, InvalidURL):
        return SourceError("bad-url", "it is no URL that can be asked")
    if isinstance(error, ClientPayloadError):
        return SourceError("broken-download", "the connection broke before the whole picture was there", retryable=True)
    return SourceError("unreachable", f"the server can't be reached ({type(error).__name__})", retryable=True)
