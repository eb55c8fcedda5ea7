"""An answer belongs to the request that it came for, whatever else arrives on the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import SocketStream

from pipeline.records import Reading, Request

if TYPE_CHECKING:
    from tests.fetch.conftest import Fetching, ScriptedServer

ROWS = 4


def answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class Echoing:
    """Answers each request with its own body, and adds stray bytes to every other answer."""

    def __init__(self, stray: bytes, *, glued: bool) -> None:
        self.stray = stray
        self.glued = glued
        self.answered = 0
        self.is_done = anyio.Event()
        self.server: ScriptedServer | None = None

    async def __call__(self, stream: SocketStream) -> None:
        assert self.server is not None
        own = answer(b'{"row": "%s"}' % self.server.requests[-1].split(b" ")[1].rpartition(b"=")[2])
        self.answered += 1
        done, self.is_done = self.is_done, anyio.Event()
        stray = self.stray if self.answered % 2 else b""
        if self.glued:
            await stream.send(own + stray)
        else:
            await stream.send(own)
            await anyio.wait_all_tasks_blocked()  # the answer has been read, the connection is idle
            await stream.send(stray or b"")
        done.set()


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("glued", [True, False], ids=["at once", "while the connection is idle"])
@pytest.mark.parametrize(
    "stray",
    [answer(b'{"row": "none"}'), answer(b'{"row": "none"}')[:20], b"\r\n", b"garbage", answer(b"{}") * 3],
    ids=["a whole answer", "half an answer", "an empty line", "garbage", "three answers"],
)
async def test_stray_bytes_are_nobodys_answer(
    method: str, glued: bool, stray: bytes, scripted: type[ScriptedServer], fetching: Fetching
) -> None:
    """Each row has its own answer; a connection on which something else has arrived is closed."""
    echoing = Echoing(stray, glued=glued)
    async with scripted(echoing).running() as server, fetching(server.endpoint) as fetcher:
        echoing.server = server
        for row in range(ROWS):
            body = b"picture" if method == "POST" else b""
            request = Request(method=method, target=f"/ask?row={row}", form="bytes", body=body)  # type: ignore[arg-type] # a literal
            done = echoing.is_done
            got, outcome = await fetcher.fetch(request)
            assert isinstance(outcome, Reading)
            assert got.body == b'{"row": "%d"}' % row
            await done.wait()


async def test_a_clean_connection_is_used_again(scripted: type[ScriptedServer], fetching: Fetching) -> None:
    """Looking for stray bytes costs no connection that has none."""
    connections = set[int]()

    async def step(stream: SocketStream) -> None:
        connections.add(id(stream))
        await stream.send(answer(b"{}"))

    async with scripted(step).running() as server, fetching(server.endpoint) as fetcher:
        for row in range(ROWS):
            await fetcher.fetch(Request(method="POST", target=f"/ask?row={row}", form="bytes", body=b"picture"))
            await anyio.wait_all_tasks_blocked()
    assert len(connections) == 1
