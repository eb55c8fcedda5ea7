"""Web servers on loopback that pictures are downloaded from, and downloads from them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from pipeline.config import PrepareConfig, RetryConfig
from pipeline.downloads.downloader import Downloader, DownloadRules
from pipeline.errors import SourceError
from pipeline.prepare.preparer import download_rules
from tests.prepare.pictures import scene, stored
from tests.waiting import HANG_SECONDS

PICTURE = stored(scene(40, 30), "PNG")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """A web server; `requests` are those that it received."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.pages: dict[str, Handler] = {}
        self.server: BaseTestServer | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        page = self.pages.get(request.path)
        return web.Response(status=404) if page is None else await page(request)

    @property
    def name(self) -> str:
        """The host and the port."""
        assert self.server is not None
        return f"127.0.0.1:{self.server.port}"

    def url(self, path: str) -> str:
        return f"http://{self.name}{path}"


@asynccontextmanager
async def running_site() -> AsyncIterator[Site]:
    """Run a site until the block ends."""
    site = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.answer)
    async with TestServer(app) as server:
        site.server = server
        yield site


def page(body: bytes = PICTURE, status: int = 200, **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return handler


RETRY = RetryConfig(attempts=3, first_wait=0.001, max_wait=0.002, row_timeout=0.2)


def rules(retry: RetryConfig = RETRY, **prepare: object) -> DownloadRules:
    """Return the rules of a config, with three attempts and waits of milliseconds."""
    values = {"max_file_bytes": 10_000, "allow_private": True, "download_timeout": HANG_SECONDS, **prepare}
    return download_rules(PrepareConfig.model_validate(values), retry)


async def fetch(url: str, retry: RetryConfig = RETRY, **prepare: object) -> bytes:
    async with Downloader(rules(retry, **prepare)) as downloader, downloader.picture(url) as data:
        return data


async def failure(url: str, retry: RetryConfig = RETRY, **prepare: object) -> SourceError:
    """Return the error that a download ends with."""
    with pytest.raises(SourceError) as caught:
        await fetch(url, retry, **prepare)
    return caught.value
