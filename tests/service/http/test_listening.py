"""The end of listening, while clients still come."""

from __future__ import annotations

import socket

import anyio
import pytest
from aiohttp import web

from pipeline.service.access.admission import AdmissionPool
from pipeline.service.http.listening import listening


@pytest.mark.parametrize("steps", range(5))
async def test_a_client_that_comes_at_the_end_breaks_nothing(steps: int) -> None:
    """At whichever step of being accepted: it is let go, and the service ends in good order."""
    app = web.Application()
    async with listening(app, AdmissionPool(8, 0.25), "127.0.0.1", 0, 8) as port:
        for _ in range(3):
            await anyio.wait_all_tasks_blocked()
        with socket.create_connection(("127.0.0.1", port)):
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
