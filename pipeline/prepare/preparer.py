"""The async edge of stage 2: read or download a row's picture, and prepare it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_network
from types import TracebackType
from typing import Self

from anyio import CapacityLimiter, Semaphore, fail_after, to_thread

from pipeline.config import PrepareConfig, RetryConfig, read_headers
from pipeline.downloads.addresses import AddressRules
from pipeline.downloads.client import ClientRules
from pipeline.downloads.downloader import Downloader, DownloadRules
from pipeline.downloads.hosts import HostRules
from pipeline.errors import SourceError
from pipeline.prepare.budget import Budget
from pipeline.prepare.decoder_messages import Settings
from pipeline.prepare.decoder_pool import DecoderPool
from pipeline.prepare.decoder_threads import DecoderThreads
from pipeline.prepare.fit_rules import FitRules, rules_from
from pipeline.prepare.sources import PictureSources, StoredImage
from pipeline.records import ArchiveMember, CloudFile, Limits, LocalFile, Prepared, RemoteUrl, Row

_READERS = 4  # files read at once: enough for a slow disk
_CLOUD_READERS = 8  # requests to a storage at once
_FILES_PER_WORKER = 2  # local files in memory: one being prepared, one waiting


class Preparer:
    """Prepares the pictures of rows, many at a time; an async context manager, since downloads share connections."""

    def __init__(self, config: PrepareConfig, limits: Limits, retry: RetryConfig, *, thumbnail_px: int = 0) -> None:
        workers = config.workers or _cores()
        self._rules = rules_from(config, limits, thumbnail_px=thumbnail_px)
        self._forms = limits.forms
        self._sources = PictureSources(config.max_file_bytes)
        self._readers = CapacityLimiter(_READERS)
        self._cloud_readers = CapacityLimiter(_CLOUD_READERS)
        self._download_timeout = config.download_timeout
        self._archive_reader = CapacityLimiter(1)  # in the order of rows, which is that of the archive
        self._files_in_memory = Semaphore(_FILES_PER_WORKER * workers)
        self._cloud_files_in_memory = Semaphore(_CLOUD_READERS + _FILES_PER_WORKER * workers)
        self._decoder = _decoder(config, self._rules, workers)
        self._downloader = Downloader(download_rules(config, retry))
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._opened.enter_async_context(self._downloader)
        await self._opened.enter_async_context(self._decoder)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sources.close()
        await self._opened.aclose()

    @asynccontextmanager
    async def picture(self, row: Row, *, as_bytes: bool = False) -> AsyncIterator[Prepared | None]:
        """Hold the row's picture within the limits, or None if it is sent as a URL or a token; raises RowError.

        Its place in memory is given back when the context ends: a picture that waits to be sent keeps another one from
        being read. With `as_bytes` a picture behind a URL is loaded although the service might load it itself.
        """
        match row.image:
            case LocalFile() as image:
                async with self._files_in_memory:
                    yield await self._decoder.fit(await self._read(image, self._readers))
            case ArchiveMember() as image:
                async with self._files_in_memory:
                    yield await self._decoder.fit(await self._read(image, self._archive_reader))
            case CloudFile() as image:
                async with self._cloud_files_in_memory:
                    yield await self._decoder.fit(await self._read_cloud(image))
            case RemoteUrl(url=url) if as_bytes or "url" not in self._forms:
                async with self._downloader.picture(url) as data:
                    yield await self._decoder.fit(data)
            case _:
                yield None

    async def _read(self, image: StoredImage, limiter: CapacityLimiter) -> bytes:
        return await to_thread.run_sync(self._sources.read, image, limiter=limiter, abandon_on_cancel=True)

    async def _read_cloud(self, image: CloudFile) -> bytes:
        try:
            with fail_after(self._download_timeout):
                return await self._read(image, self._cloud_readers)
        except TimeoutError as exc:
            problem = f"{image.url}: no answer in {self._download_timeout:g} s"
            raise SourceError("timeout", problem, retryable=True) from exc


def _decoder(config: PrepareConfig, rules: FitRules, workers: int) -> DecoderPool | DecoderThreads:
    budget = Budget(config.max_decode_bytes)
    if config.isolate:
        return DecoderPool(Settings(rules=rules, timeout=config.decode_timeout), workers, budget)
    return DecoderThreads(rules, workers, budget)


def download_rules(config: PrepareConfig, retry: RetryConfig) -> DownloadRules:
    """Return how pictures are downloaded: tried again as calls are, within the limits of each host."""
    named = tuple(ip_network(text, strict=False) for text in config.allow_addresses)
    return DownloadRules(
        client=ClientRules(
            max_bytes=config.max_file_bytes,
            timeout=config.download_timeout,
            addresses=AddressRules(allow_private=config.allow_private, named=named),
            user_agent=config.user_agent,
            headers=read_headers(config),
            honour_noai=config.honour_noai,
        ),
        hosts=HostRules(
            in_flight=config.per_host,
            delay=config.host_delay,
            first_wait=retry.first_wait,
            max_wait=retry.max_wait,
        ),
        attempts=retry.attempts,
        patience=retry.row_timeout,
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
