"""Download pictures: again where that may help, politely to each host, and with a check of the content."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from anyio import Semaphore, current_time, sleep
from yarl import URL

from pipeline.downloads.client import Attempt, ClientRules, PictureClient, Place
from pipeline.downloads.errors import DownloadError
from pipeline.downloads.hosts import Host, HostRules, Hosts
from pipeline.downloads.urls import host_of, next_hop, parse_url
from pipeline.errors import SourceError
from pipeline.guards.signatures import has_picture_signature, identify_other

_MAX_REDIRECTS: Final = 5
_PICTURES_IN_MEMORY: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadRules:
    """How pictures are downloaded: one request, one host, and how often and how long it is tried, in seconds."""

    client: ClientRules
    hosts: HostRules = field(default_factory=HostRules)
    attempts: int = 5
    patience: float = 600.0


@dataclass(slots=True)
class _Download:
    """One picture on its way: since when, and what its attempts came to."""

    place: Place
    begun_at: float | None = None
    faults: int = 0
    busy_at: float | None = None


class Downloader:
    """Downloads pictures, many at a time; an async context manager."""

    def __init__(self, rules: DownloadRules) -> None:
        self._rules = rules
        self._hosts = Hosts(rules.hosts)
        self._client = PictureClient(rules.client)
        self._places = Semaphore(_PICTURES_IN_MEMORY)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def picture(self, url: str) -> AsyncIterator[bytes]:
        """Hold the picture at an http(s) URL in memory; raises SourceError, which says if a later run may succeed.

        Codes: bad-url, refused-address, refused-redirect, too-many-redirects, not-found, forbidden, http-NNN, timeout,
        unreachable, bad-certificate, broken-download, noai, too-large, empty, not-a-picture, unsupported-format.
        """
        download = _Download(Place(self._places))
        try:
            data = await self._fetch(parse_url(url), download)
            if not has_picture_signature(data):
                code, name = identify_other(data)
                raise SourceError(code, f"the downloaded file is {name}")
            yield data
        finally:
            download.place.release()

    async def _fetch(self, url: URL, download: _Download) -> bytes:
        """Attempt until it succeeds, or nothing is left to try with."""
        while True:
            try:
                return await self._follow(url, download)
            except DownloadError as error:
                download.place.release()
                if error.retry in {"never", "next-run"}:
                    raise
                wait = self._own_wait(error, download)
            await sleep(wait)

    async def _follow(self, url: URL, download: _Download) -> bytes:
        attempt = Attempt(download.place, self._rules.client.timeout)
        for _ in range(_MAX_REDIRECTS + 1):
            async with self._hosts.turn(host_of(url)) as host:
                body_or_location = await self._request(url, host, download, attempt)
            if isinstance(body_or_location, bytes):
                return body_or_location
            url = next_hop(url, body_or_location)
        raise DownloadError("too-many-redirects", f"more than {_MAX_REDIRECTS} redirects")

    async def _request(self, url: URL, host: Host, download: _Download, attempt: Attempt) -> bytes | str:
        """Send one request, and let its host learn from what comes of it."""
        sent_at = current_time()
        download.begun_at = sent_at if download.begun_at is None else download.begun_at
        try:
            body_or_location = await self._client.get(url, host, attempt)
        except DownloadError as error:
            self._learn(error, host, download, sent_at)
            raise
        host.note_picture(current_time())
        return body_or_location

    def _learn(self, error: DownloadError, host: Host, download: _Download, sent_at: float) -> None:
        """Note what a fault says of the host, and of this picture; `retry` becomes "next-run" where it is over."""
        now = current_time()
        if error.retry == "throttled" and download.busy_at is not None and host.sent_picture_at > download.busy_at:
            error.retry = "counted"  # others were sent their pictures meanwhile
        if error.retry == "silent":
            host.note_silence(error, sent_at, now)
        elif error.retry == "throttled":
            download.busy_at = now
            host.note_busy(error, sent_at, now)
        elif error.retry == "counted":
            download.faults += 1
            if download.faults >= self._rules.attempts or not host.spend_retry():
                error.retry = "next-run"
        begun_at = sent_at if download.begun_at is None else download.begun_at
        if error.retry != "never" and now - begun_at >= self._rules.patience:
            error.retry = "next-run"

    def _own_wait(self, error: DownloadError, download: _Download) -> float:
        """Return how long this row alone waits: at random, so that rows that failed together don't return together."""
        if error.retry != "counted":
            return 0.0
        backoff = self._rules.hosts.backoff(download.faults)
        return max(error.wait or 0.0, random.random() * backoff)  # noqa: S311 - no secret
