"""How the fakes of live services are served: on loopback, for tests of the same loop or beside it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol, TypeVar

import anyio
from aiohttp import web

from tests.waiting import HANG_SECONDS


class Fake(Protocol):
    """A fake service; `endpoint` says where it is served."""

    endpoint: str

    def app(self) -> web.Application:
        """Return the application that answers."""


F = TypeVar("F", bound=Fake)


@asynccontextmanager
async def serving(fake: F, port: int = 0) -> AsyncIterator[F]:
    """Serve on loopback; `endpoint` of the fake says where."""
    runner = web.AppRunner(fake.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    fake.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


@contextmanager
def serving_in_thread(fake: F) -> Iterator[F]:
    """Serve in a thread of its own, for clients that wait for their answers."""
    started, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        async with serving(fake):
            started.set()
            await anyio.to_thread.run_sync(ended.wait)

    thread = threading.Thread(target=anyio.run, args=(serve,))
    thread.start()
    assert started.wait(HANG_SECONDS)
    try:
        yield fake
    finally:
        ended.set()
        thread.join()
