"""Serves an application on a host and port: accepts connections until it is left, then finishes what is in progress."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import anyio
from aiohttp import web

from pipeline.service.access.admission import AdmissionPool
from pipeline.service.http.connections import Listener, most_connections, open_sockets

# When the service stops: the seconds for requests in progress, and then for responses that are still being sent.
FINISH_SECONDS, SHUTDOWN_SECONDS = 5.0, 1.0


@asynccontextmanager
async def listening(
    app: web.Application, requests: AdmissionPool, host: str, port: int, connections: int
) -> AsyncIterator[int]:
    """Serve while the block runs; yields the port. Raises OSError if the address can't be listened on."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        sockets = await open_sockets(host, port)
        server = runner.server
        assert server is not None
        listener = Listener(sockets, server, most_connections(connections))
        with ExitStack() as opened:
            for each in sockets:
                opened.enter_context(each)
            # The sockets are closed when nothing accepts any more: a client may come at the last moment.
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.run)
                try:
                    yield sockets[0].getsockname()[1]
                finally:
                    tasks.cancel_scope.cancel()
        listener.finish()
        await requests.wait_until_empty(FINISH_SECONDS)  # aiohttp's shutdown ignores a body that is still arriving
    finally:
        await runner.cleanup()
