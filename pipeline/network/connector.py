"""Connections that never hand out an answer to a request that it was not sent for."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.connector import Connection

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.tracing import Trace


class CleanConnector(aiohttp.TCPConnector):
    """A TCPConnector that closes an idle connection on which something has arrived, instead of using it again.

    HTTP/1.1 answers carry no name: bytes that come without a request would be taken for the next request's answer.
    aiohttp (3.14.5) looks for them when a connection is put back, but not when it is taken out again.
    """

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        while (connection := await super()._get(key, traces)) is not None:
            if connection.protocol is not None and not _has_unread_bytes(connection.protocol):
                return connection
            connection.close()
        return None


def _has_unread_bytes(protocol: ResponseHandler) -> bool:
    """Return True if anything was received, by the event loop or by the kernel; a closed end counts too."""
    if protocol.should_close or protocol.transport is None:
        return True
    socket = protocol.transport.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return True
    poll = select.poll()  # unlike select(), it takes descriptors of any number
    poll.register(socket.fileno(), select.POLLIN)
    return bool(poll.poll(0))
