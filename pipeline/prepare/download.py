"""Download pictures, with limits on size, time, redirects and addresses, and a check of the content."""

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
from pipeline.guards.signatures import has_picture_signature, identify_other
from pipeline.prepare.addresses import AddressRefused, PublicResolver, public_socket
from pipeline.prepare.local_file import check_length

_MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_CONNECT_SECONDS = 15.0
_READ_SECONDS = 30.0
_PER_HOST = 8
_CHUNK_BYTES = 1 << 16
_HEADERS = {"User-Agent": "image-insights-pipeline", "Accept": "image/*", "Accept-Encoding": "identity"}
_RETRYABLE = {408, 425, 429}


class Downloader:
    """Downloads pictures over one connection pool, without cookies, proxies and credentials; a context manager."""

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
            timeout=ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def fetch(self, url: str) -> bytes:
        """Download the picture at an http(s) URL; raises SourceError, which says if a later try may succeed.

        Codes: bad-url, refused-address, refused-redirect, too-many-redirects, not-found, forbidden, http-NNN, timeout,
        unreachable, bad-certificate, broken-download, too-large, empty, not-a-picture, unsupported-format.
        """
        try:
            with anyio.fail_after(self._timeout):
                data = await self._follow(_parse(url))
        except (TimeoutError, ClientError, OSError, ssl.SSLError) as exc:
            raise _source_error(exc, self._timeout) from exc
        if not has_picture_signature(data):
            code, name = identify_other(data)
            raise SourceError(code, f"the downloaded file is {name}")
        return data

    async def _follow(self, url: URL) -> bytes:
        for _ in range(_MAX_REDIRECTS + 1):
            body_or_location = await self._get(url)
            if isinstance(body_or_location, bytes):
                return body_or_location
            url = _next_hop(url, body_or_location)
        raise SourceError("too-many-redirects", f"more than {_MAX_REDIRECTS} redirects")

    async def _get(self, url: URL) -> bytes | str:
        """Return the body, or the Location of a redirect."""
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
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            body += chunk
            check_length("the download", len(body), self._max_bytes)
        check_length("the download", len(body), self._max_bytes)
        return bytes(body)


def _parse(text: str) -> URL:
    """Return the URL to request; one that is encoded already is kept verbatim, or its signature would break."""
    try:
        plain = text.isascii() and text.isprintable() and not set(text) & set(' "<>\\^`{|}')
        url = URL(text.partition("#")[0], encoded=plain)
        allowed = url.scheme in {"http", "https"} and bool(url.host)
    except ValueError:
        allowed = False
    if not allowed:
        raise SourceError("bad-url", "it is not an http(s) URL")
    if url.user is not None or url.password is not None:
        raise SourceError("bad-url", "a URL with a user name or password is refused")
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
        raise SourceError("not-found", f"the server does not have the picture (HTTP {status})")
    if status in {401, 403}:
        raise SourceError("forbidden", f"the server refuses to send the picture (HTTP {status})")
    raise SourceError(
        f"http-{status}",
        f"the server answered with HTTP {status}",
        retryable=status >= 500 or status in _RETRYABLE,
    )


def _source_error(error: Exception, timeout: float) -> SourceError:
    """Translate an error into ours; the texts of aiohttp are not used, since they may contain the whole URL."""
    if isinstance(error, TimeoutError):
        return SourceError("timeout", f"no response within prepare.download_timeout ({timeout:g} s)", retryable=True)
    if isinstance(error, ClientConnectorError) and isinstance(error.os_error, AddressRefused):
        return SourceError("refused-address", f"{error.os_error}; prepare.allow_private would allow it")
    if isinstance(error, (ClientConnectorCertificateError, ssl.SSLError)):
        return SourceError("bad-certificate", "the server's certificate can't be trusted")
    if isinstance(error, InvalidURL):
        return SourceError("bad-url", "it is not a valid URL")
    if isinstance(error, ClientPayloadError):
        return SourceError("broken-download", "the connection broke before the picture was complete", retryable=True)
    return SourceError("unreachable", f"the server can't be reached ({type(error).__name__})", retryable=True)
