"""Connections over real sockets: a client that sends half of something is closed, and keeps out nobody."""

from __future__ import annotations

import errno
import json
import resource
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import anyio
import anyio.lowlevel
import pytest

from pipeline.service.http import body, connections
from pipeline.service.http.app import AppConfig
from pipeline.service.http.connections import Listener, most_connections
from tests.service.serving import FixedEngine, Served, serving
from tests.waiting import HANG_SECONDS, wait_until

if TYPE_CHECKING:
    Start = Callable[..., Served]

HALF_HEADERS = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
HALF_BODY = (
    b"POST /v7.0/images/visualsearch HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
    b"Content-Type: multipart/form-data; boundary=frontier\r\n\r\n--frontier\r\n"
)


@contextmanager
def opened(port: int, count: int, first: bytes, source: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """Open connections from an address of this machine, and send the beginning of a request on each."""
    with ExitStack() as stack:
        sockets = []
        for _ in range(count):
            each = socket.create_connection(("127.0.0.1", port), timeout=HANG_SECONDS, source_address=(source, 0))
            sockets.append(stack.enter_context(each))
            each.sendall(first)
        yield sockets


def is_closed(connection: socket.socket) -> bool:
    """Wait for the other side to close a connection, whatever it sends before."""
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def is_reset(connection: socket.socket, request: bytes) -> bool:
    """Send requests and take no response; return True if the other side closes the connection in time."""
    end = time.monotonic() + HANG_SECONDS
    try:
        while time.monotonic() < end:
            connection.sendall(request)
            time.sleep(0.005)
    except ConnectionError:
        return True
    return False


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the times that clients have."""
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.3)
    monkeypatch.setattr(connections, "SEND_SECONDS", 0.3)
    monkeypatch.setattr(connections, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(body, "STALL_TIMEOUT", 0.3)


def test_the_documented_times() -> None:
    """Headers have ten seconds, and a response has half a minute to be taken."""
    assert (connections.HEADER_SECONDS, connections.SEND_SECONDS) == (10.0, 30.0)
    assert (body.STALL_TIMEOUT, body.BODY_TIMEOUT) == (15.0, 60.0)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("first", [b"", HALF_HEADERS], ids=["nothing", "half of the headers"])
def test_headers_that_do_not_come_close_the_connection(served: Served, first: bytes) -> None:
    """A client that connects and sends nothing, or drips its headers, is closed in time."""
    with opened(served.port, 1, first) as (connection,):
        assert is_closed(connection)


@pytest.mark.usefixtures("hasty")
def test_slow_headers_after_a_request_close_the_connection(served: Served) -> None:
    """One request buys no more time: the next one's headers have the same limit, from their first byte on."""
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with opened(served.port, 1, whole) as (connection,):
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        time.sleep(0.6)  # an idle connection stays open
        connection.sendall(HALF_HEADERS)
        assert is_closed(connection)


@pytest.mark.usefixtures("hasty")
def test_a_body_that_stalls_is_refused(served: Served) -> None:
    """The client is told, if it still listens."""
    with opened(served.port, 1, HALF_BODY) as (connection,):
        response = connection.recv(65536)
    assert response.startswith(b"HTTP/1.1 400")
    assert b"no more of the body arrived" in response


@pytest.mark.usefixtures("hasty")
def test_a_response_that_is_not_taken_closes_the_connection(engine: FixedEngine, start: Start) -> None:
    """A client that asks and never reads holds nothing for long."""
    served = start(engine)
    request = b"GET /v7.0/images/search?q=mug&count=150 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", served.port))
        connection.settimeout(HANG_SECONDS)
        assert is_reset(connection, request)
        assert served.send("GET", "/healthz").status == 200


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connections and bodies make room for others at once."""
    monkeypatch.setattr(connections, "MIN_SECONDS", 0.0)
    monkeypatch.setattr("pipeline.service.http.app.MIN_BODY_SECONDS", 0.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("first", [b"", HALF_HEADERS], ids=["nothing", "half of the headers"])
@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"], ids=["same address", "another address"])
def test_half_open_connections_keep_out_nobody(engine: FixedEngine, first: bytes, source: str) -> None:
    """With all connections held by one client, the next one gets in, even from the same address."""
    with serving(engine, AppConfig(), connections=20) as served, opened(served.port, 60, first, source):
        assert [served.send("GET", "/healthz").status for _ in range(30)] == [200] * 30


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"], ids=["same address", "another address"])
def test_half_sent_bodies_keep_out_nobody(engine: FixedEngine, start: Start, picture: bytes, source: str) -> None:
    """300 half-sent bodies of one client, without keys, give nobody a 429: the oldest of them makes room."""
    served = start(engine)
    with opened(served.port, 300, HALF_BODY, source):
        assert [served.visual_search(picture=picture).status for _ in range(5)] == [200] * 5


@pytest.mark.usefixtures("impatient")
def test_a_busy_connection_is_not_replaced(engine: FixedEngine, picture: bytes) -> None:
    """A request at work gets its response, however many connections come meanwhile."""
    begun, may_end = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        may_end.wait(HANG_SECONDS)

    engine.before = wait
    with serving(engine, AppConfig(), connections=8) as served, ThreadPoolExecutor(1) as threads:
        busy = threads.submit(served.visual_search, picture=picture)
        assert begun.wait(HANG_SECONDS)
        with opened(served.port, 40, HALF_HEADERS):
            assert served.send("GET", "/healthz").status == 200
            may_end.set()
            assert busy.result(HANG_SECONDS).status == 200


@pytest.mark.usefixtures("impatient")
def test_bodies_take_a_limited_memory(
    engine: FixedEngine, start: Start, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bodies of one client take no more than its share: six of these fit into it. Another client's is read."""
    monkeypatch.setattr("pipeline.service.http.app.MEMORY_BYTES", 1_000_000)
    served = start(engine)
    with opened(served.port, 20, HALF_BODY + bytes(90_000), "127.0.0.2") as sockets:
        ended = wait_until(lambda: _readable(sockets, 14), "all but six are ended")
        assert {each.recv(12) for each in ended} == {b"HTTP/1.1 429"}
        assert served.visual_search(picture=picture).status == 200


def _readable(sockets: list[socket.socket], at_least: int) -> list[socket.socket]:
    """Return the sockets on which something has arrived, if there are enough of them."""
    ready, _, _ = select.select(sockets, [], [], 0)
    return ready if len(ready) >= at_least else []


def test_few_descriptors_are_enough(catalogue: Path, tmp_path: Path) -> None:
    """A service that may have few descriptors answers while 200 half-open connections are held, and logs little."""
    command = f"ulimit -n 64; exec {sys.executable} -m pipeline serve --catalogue {catalogue} --port 0 --no-text"
    log = tmp_path / "log.txt"
    with log.open("wb") as errors:
        service = subprocess.Popen(
            ["sh", "-c", f"{command} --index {tmp_path / 'index'}"], stdout=subprocess.PIPE, stderr=errors
        )
    try:
        assert service.stdout is not None
        port = json.loads(service.stdout.readline())["port"]
        with opened(port, 200, HALF_HEADERS, "127.0.0.2"):
            statuses = [urlopen(f"http://127.0.0.1:{port}/healthz", timeout=HANG_SECONDS).status for _ in range(5)]
    finally:
        service.kill()
        service.communicate()
    assert statuses == [200] * 5
    assert len(log.read_bytes()) < 2000


async def test_descriptors_that_run_out_make_room(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """When others have taken all that the system has, connections that only wait are closed; it is said once."""

    class Exhausted:
        def accept(self) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        def fileno(self) -> int:
            return 0

    async def readable(_: object) -> None:
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(anyio, "wait_readable", readable)
    listener = Listener([Exhausted()], None, 8)  # type: ignore[list-item,arg-type] # no server is needed for this
    replaced: list[str] = []
    waiting = listener._pool.admit("a")
    assert waiting is not None
    waiting.replace = lambda: replaced.append("a")
    with anyio.move_on_after(1):
        await listener.run()
    assert replaced == ["a"]
    assert [record.getMessage() for record in caplog.records] == [
        "no more connections can be accepted for now (Too many open files)"
    ]


def test_there_are_no_more_connections_than_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of the system counts if it is lower than the wanted number, and what it allows is taken."""
    limits = [(256, 512)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.append(new))
    assert 0 < most_connections(10_000) < 512
    assert limits[-1] == (512, 512)
    assert most_connections(16) == 16
    limits.append((40, 40))
    assert most_connections(10_000) == connections.MIN_CONNECTIONS
