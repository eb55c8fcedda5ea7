"""Accepts connections: a limited number in all and per address, and none that sends or receives nothing for long."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

import anyio
from aiohttp import web
from aiohttp.typedefs import Handler

from pipeline.service.access.admission import Admission, AdmissionPool
from pipeline.service.access.callers import caller_at
from pipeline.service.http.logs import server_log

# Seconds: for the headers of a request from the connection, or from their first byte, on; without any request; and for
# the client to take something of a response.
HEADER_SECONDS, IDLE_SECONDS, SEND_SECONDS = 10.0, 75.0, 30.0
# How long the rest of a refused body is read, so that the client gets to read the refusal.
LINGER_SECONDS = 2.0
MAX_LINE_BYTES = 64 * 1024
CHECK_SECONDS = 1.0
# A connection that has waited so long may make room for another: its client is far away, or sends nothing.
MIN_SECONDS = 0.25
BACKLOG = 256
# Descriptors that are left for databases, files and processes.
RESERVED_DESCRIPTORS, MIN_CONNECTIONS = 48, 4
_NO_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
log = logging.getLogger("pipeline.service")


class Connection(web.RequestHandler):
    """One client's connection, which knows since when the client owes it something."""

    def __init__(self, server: web.Server, admission: Admission, on_lost: Callable[[Connection], None]) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # aiohttp's own way to switch it off
            logger=server_log,
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=LINGER_SECONDS,
            max_line_size=MAX_LINE_BYTES,
        )
        self.admission = admission
        self._on_lost = on_lost
        self._headers_since: float | None = anyio.current_time()
        self._send_since: float | None = None
        self._is_last = False

    @property
    def is_late(self) -> bool:
        """True if the client has had its time for the headers of a request, or for taking a response."""
        now = anyio.current_time()
        return (self._headers_since is not None and now - self._headers_since > HEADER_SECONDS) or (
            self._send_since is not None and now - self._send_since > SEND_SECONDS
        )

    def begin(self) -> None:
        """Note that a request has arrived, up to its body."""
        self.admission.is_waiting, self._headers_since = False, None

    def end(self) -> None:
        """Note that the response is ready to be sent."""
        self.admission.is_waiting, self.admission.since = True, anyio.current_time()
        if self._is_last:
            self.close()

    def finish(self) -> None:
        """Close the connection when the response to its request has been sent, or now if there is no request.

        Until then it receives: aiohttp's close() alone would drop what still arrives of the request's body.
        """
        self._is_last = True
        if self.admission.is_waiting:
            self.close()

    def abort(self) -> None:
        """Close the connection at once."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self.admission.is_waiting and self._headers_since is None:
            self._headers_since = anyio.current_time()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """See asyncio.BaseProtocol."""
        super().connection_lost(exc)
        self._on_lost(self)

    def pause_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._send_since = anyio.current_time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._send_since = None
        super().resume_writing()


@web.middleware
async def watch_connection(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell the connection when a request begins and ends: in between, it isn't closed to make room for another."""
    connection = request.protocol
    if not isinstance(connection, Connection):  # a test's own server
        return await handler(request)
    connection.begin()
    try:
        return await handler(request)
    finally:
        connection.end()


class Listener:
    """Accepts the connections of some sockets for a server, at most `most` at a time."""

    def __init__(self, sockets: Sequence[socket.socket], server: web.Server, most: int) -> None:
        self._sockets = sockets
        self._server = server
        self._pool = AdmissionPool(most, MIN_SECONDS)
        self._connections: set[Connection] = set()
        self._has_warned = False

    async def run(self) -> None:
        """Accept connections, and close those that are late, until cancelled."""
        async with anyio.create_task_group() as tasks:
            for each in self._sockets:
                tasks.start_soon(self._accept_all, each)
            while True:
                await anyio.sleep(CHECK_SECONDS)
                for connection in [each for each in self._connections if each.is_late]:
                    connection.abort()

    def finish(self) -> None:
        """Let every connection end with the response to the request that it has."""
        for connection in self._connections:
            connection.finish()

    async def _accept_all(self, listening: socket.socket) -> None:
        while True:
            await anyio.wait_readable(listening)
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                continue
            except OSError as exc:
                await self._make_room(exc)
            else:
                await self._welcome(accepted, address[0])

    async def _make_room(self, problem: OSError) -> None:
        """Wait until the system has descriptors to give; says so once, however often that happens."""
        if problem.errno not in _NO_DESCRIPTORS:
            raise problem
        if not self._has_warned:
            log.warning("no more connections can be accepted for now (%s)", problem.strerror)
        self._has_warned = True
        self._pool.replace_oldest()
        await anyio.sleep(0.1)

    async def _welcome(self, accepted: socket.socket, address: str) -> None:
        accepted.setblocking(False)  # noqa: FBT003 - the method's name says what the value means
        admission = self._pool.admit(caller_at(address))
        if admission is None:
            with accepted, suppress(OSError):
                accepted.send(_BUSY)
            return
        connection = Connection(self._server, admission, self._forget)
        admission.replace = connection.abort
        self._connections.add(connection)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, accepted)
        except OSError:  # the client has gone
            accepted.close()
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._pool.leave(connection.admission)


async def open_sockets(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of a host, on the same port, a free one for 0; raises OSError."""
    sockets: list[socket.socket] = []
    for family, _, _, _, address in await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            listening = socket.create_server((address[0], port), family=family, backlog=BACKLOG)
        except OSError:
            for each in sockets:
                each.close()
            raise
        listening.setblocking(False)  # noqa: FBT003 - the method's name says what the value means
        sockets.append(listening)
        port = listening.getsockname()[1]
    return sockets


def most_connections(wanted: int) -> int:
    """Return how many connections there may be: `wanted`, or fewer if this process may have few descriptors.

    The process takes as many descriptors as it may have, and as it needs.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/dev/fd")) + RESERVED_DESCRIPTORS  # noqa: PTH208 - only their number counts
    if soft < wanted + used:
        soft = wanted + used if hard == resource.RLIM_INFINITY else min(wanted + used, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(MIN_CONNECTIONS, min(wanted, soft - used))
