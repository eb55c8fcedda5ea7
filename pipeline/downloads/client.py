"""One request for a picture: over one pool of connections, without cookies, to allowed addresses, its body bounded."""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import Final, Self

import anyio
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar
from anyio import CancelScope, Semaphore, current_time
from yarl import URL

from pipeline.downloads.addresses import AddressRules, CheckedResolver
from pipeline.downloads.errors import DownloadError, check_status, translate
from pipeline.downloads.headers import DownloadHeader
from pipeline.downloads.hosts import Host
from pipeline.downloads.robots import forbids_ai
from pipeline.downloads.urls import host_of
from pipeline.guards.file_length import check_length
from pipeline.guards.loopback import is_loopback
from pipeline.network.connector import CleanConnector
from pipeline.network.waits import WAIT_HEADERS, wait_of_headers

CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 30.0
_REDIRECTS: Final = {301, 302, 303, 307, 308}
_CHUNK_BYTES: Final = 1 << 16
# Formats that are read, first; "*/*" because some servers refuse a request (406) that can't take everything. WebP and
# AVIF are not named: servers that can choose send what they have, not a smaller copy of it.
_HEADERS: Final = {"Accept": "image/jpeg, image/png, image/*;q=0.9, */*;q=0.5", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRules:
    """What a request may take and where it may lead; `timeout` is in seconds, from connecting to the last byte."""

    max_bytes: int
    timeout: float
    addresses: AddressRules
    user_agent: str = "image-insights-pipeline"
    headers: tuple[DownloadHeader, ...] = ()
    honour_noai: bool = True


class Place:
    """A place in memory for one picture, of a limited number; taken when its body is read."""

    def __init__(self, places: Semaphore) -> None:
        self._places = places
        self._is_held = False

    async def take(self) -> None:
        """Wait for a place, unless it is held already."""
        if not self._is_held:
            await self._places.acquire()
            self._is_held = True

    def release(self) -> None:
        """Give the place back, if it is held."""
        if self._is_held:
            self._is_held = False
            self._places.release()


@dataclass(slots=True)
class Attempt:
    """One attempt of a download: its place in memory, and the seconds that it has left."""

    place: Place
    seconds_left: float


class PictureClient:
    """Sends requests for pictures; an async context manager."""

    def __init__(self, rules: ClientRules) -> None:
        self._rules = rules
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        addresses = self._rules.addresses
        self._session = ClientSession(
            connector=CleanConnector(
                limit=0,  # the hosts have limits of their own
                resolver=CheckedResolver(addresses),
                socket_factory=addresses.open_socket,
            ),
            cookie_jar=DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": self._rules.user_agent} | _HEADERS,
            timeout=ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def get(self, url: URL, host: Host, attempt: Attempt) -> bytes | str:
        """Return the body, or the Location of a redirect; raises DownloadError."""
        assert self._session is not None
        has_answered = False
        try:
            with anyio.fail_after(attempt.seconds_left) as scope:
                async with self._session.get(url, headers=self._headers(url), allow_redirects=False) as response:
                    has_answered = True
                    host.note_response()
                    if response.status in _REDIRECTS and (location := response.headers.get("Location")):
                        attempt.seconds_left = scope.deadline - current_time()
                        return location
                    check_status(response.status, _wait(response))
                    self._check_robots(response)
                    await _off_the_clock(scope, attempt.place.take)
                    return await self._body(response)
        except (TimeoutError, ClientError, OSError, ssl.SSLError) as exc:
            raise translate(exc, self._rules.timeout, has_answered=has_answered) from exc

    def _headers(self, url: URL) -> dict[str, str]:
        """Return the headers of the job for a URL: a secret goes to its own host only, and over no open network."""
        is_safe = url.scheme == "https" or is_loopback(url.host or "")
        return {
            header.name: header.value.get_secret_value()
            for header in self._rules.headers
            if not header.host or (is_safe and header.host in {url.host, host_of(url)})
        }

    def _check_robots(self, response: ClientResponse) -> None:
        tags = response.headers.getall("X-Robots-Tag", [])
        if self._rules.honour_noai and forbids_ai(tags, self._rules.user_agent):
            raise DownloadError(
                "noai",
                "the server asks that its pictures are not used by AI (X-Robots-Tag); "
                "if you may use them, set prepare.honour_noai to false",
            )

    async def _body(self, response: ClientResponse) -> bytes:
        if response.content_length is not None:
            check_length("the download", response.content_length, self._rules.max_bytes)
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            body += chunk
            check_length("the download", len(body), self._rules.max_bytes)
        check_length("the download", len(body), self._rules.max_bytes)
        return bytes(body)


async def _off_the_clock(scope: CancelScope, wait: Callable[[], Awaitable[None]]) -> None:
    """Wait for something of ours, for which the server's time doesn't run."""
    left = scope.deadline - current_time()
    scope.deadline = inf
    await wait()
    scope.deadline = current_time() + left


def _wait(response: ClientResponse) -> float | None:
    """Return the seconds that a server asks to wait, None where it doesn't ask."""
    headers = {name: value for name in WAIT_HEADERS if (value := response.headers.get(name))}
    return wait_of_headers(headers, time.time())
