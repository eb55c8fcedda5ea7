"""The service as a process: it announces when it is ready, stops cleanly, and never outlives its parent."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pipeline.errors import ConfigError, ServiceError, TableError
from pipeline.service.access.authenticator import ApiKey
from pipeline.service.findings import CatalogueConfig
from pipeline.service.http.app import AppConfig
from pipeline.service.server import ProgressReporter, ServeConfig, own_url, serve
from tests.poison import COMPUTE, HANG, acting, acting_decoder
from tests.service.serving import draw_mug, form
from tests.waiting import HANG_SECONDS, wait_until

CHILD = """
import sys
from pathlib import Path
import anyio
from pipeline.errors import ConfigError
from pipeline.service.http.app import AppConfig
from pipeline.service.findings import CatalogueConfig
from pipeline.service.access.authenticator import ApiKey
from pipeline.service.server import ServeConfig, serve
config = ServeConfig(catalogue=CatalogueConfig(path=Path(sys.argv[1])), index_dir=Path(sys.argv[2]),
                     app=AppConfig(faults=True), with_parent=True, access_log=True)
try:
    anyio.run(serve, config)
except ConfigError as exc:
    sys.exit(str(exc))
"""
PARENT = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", *sys.argv[1:]], stdin=subprocess.PIPE).wait()
"""
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def launch(project: Path, catalogue: Path, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts the service as a child process; processes that still run at the end are killed."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*before: str, pictures: Path = catalogue, **pipes: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", *before, textwrap.dedent(CHILD), str(pictures), str(tmp_path / "index")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **pipes}
        running.append(subprocess.Popen(command, cwd=project, **pipes))
        return running[-1]

    yield begin
    for child in running:
        child.kill()
        child.communicate()


def _ready(child: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert child.stdout is not None
    line: dict[str, Any] = json.loads(child.stdout.readline())
    return line


def test_a_call_in_progress_is_finished_before_the_end(launch: Start) -> None:
    """One line announces the service; after SIGTERM the call in progress gets its response, and the exit is clean."""
    child = launch()
    ready = _ready(child)
    assert (ready["ready"], ready["pictures"], ready["skipped"]) == (True, 8, 0)
    assert ready["explorer"] == f"http://127.0.0.1:{ready['port']}/"
    with socket.create_connection(("127.0.0.1", ready["port"]), timeout=HANG_SECONDS) as connection:
        connection.sendall(
            b"GET /v7.0/images/trending?secret-key=s3cret HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            b'Ocp-Apim-Subscription-Key: s3cret\r\nX-Fault: {"kind": "answer", "delay": 0.2}\r\n\r\n'
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        child.send_signal(signal.SIGTERM)
        response = connection.recv(65536)
    rest, log = child.communicate(timeout=HANG_SECONDS)
    assert response.startswith(b"HTTP/1.1 200")
    assert (child.returncode, rest) == (0, b"")
    assert b"index: 8 of 8 rows" in log
    assert b"GET /v7.0/images/trending 200" in log
    assert b"s3cret" not in log


def test_the_service_dies_with_its_parent(launch: Start) -> None:
    """When the parent is killed with -9, the end of stdin stops the service, and its stdout ends too."""
    parent = launch(PARENT, stderr=subprocess.DEVNULL)
    ready = _ready(parent)
    parent.kill()
    assert parent.stdout is not None
    assert parent.stdout.read() == b""
    with pytest.raises(ConnectionRefusedError):
        HTTPConnection("127.0.0.1", ready["port"], timeout=HANG_SECONDS).connect()


@pytest.fixture
def marks(tmp_path: Path) -> Iterator[Path]:
    """Let the service decode with the decoder for tests; return the folder where pictures leave their process ids."""
    folder = tmp_path / "marks"
    folder.mkdir()
    with acting_decoder(tmp_path):
        yield folder


def _marking(number: int, folder: Path, act: str) -> bytes:
    """Return a picture that leaves the id of its process in a folder when it is decoded, and then acts."""
    return acting(number, f"open({str(folder / str(number))!r}, 'w').write(str(os.getpid())); {act}")


def _marked(folder: Path) -> set[int]:
    return {int(text) for mark in folder.iterdir() if (text := mark.read_text())}


def _send_upload(port: int, picture: bytes) -> socket.socket:
    body = form(None, picture)
    head = f"POST /v7.0/images/visualsearch HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    connection = socket.create_connection(("127.0.0.1", port), timeout=HANG_SECONDS)
    connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=frontier\r\n\r\n".encode() + body)
    return connection


def test_clients_that_hang_up_leave_nothing_behind(launch: Start, marks: Path) -> None:
    """Of eight slow uploads whose clients hang up, those that wait are not begun; the next caller is answered."""
    child = launch()
    port = _ready(child)["port"]
    near_the_end = "signal.setitimer(signal.ITIMER_PROF, 0.3)\n"
    uploads = [_send_upload(port, _marking(number, marks, near_the_end + COMPUTE)) for number in range(8)]
    wait_until(lambda: _marked(marks), "a picture is decoded")
    for upload in uploads:
        upload.close()
    with _send_upload(port, draw_mug((30, 64, 175))) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert len(_marked(marks)) < 4
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=HANG_SECONDS)
    assert child.returncode == 0
    assert not [pid for pid in _marked(marks) if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("is_patient", [True, False], ids=["one signal", "two signals"])
def test_a_picture_that_hangs_does_not_hold_up_the_end(launch: Start, marks: Path, *, is_patient: bool) -> None:
    """A request in progress has five seconds to end, then the service does; a second signal ends it at once."""
    child = launch()
    port = _ready(child)["port"]
    with _send_upload(port, _marking(1, marks, HANG)) as upload:
        (pid,) = wait_until(lambda: _marked(marks), "the picture is decoded")
        started = time.monotonic()
        child.send_signal(signal.SIGTERM)
        if not is_patient:
            wait_until(lambda: _refuses(port), "the service has begun to stop")
            assert child.poll() is None
            child.send_signal(signal.SIGTERM)
        else:
            assert upload.recv(65536).startswith(b"HTTP/1.1 503")
        _, log = child.communicate(timeout=HANG_SECONDS)
    assert b"Traceback" not in log
    assert child.returncode == (0 if is_patient else -signal.SIGTERM)
    assert time.monotonic() - started < 10
    if is_patient:
        assert not Path(f"/proc/{pid}").exists()
    else:
        os.kill(pid, signal.SIGKILL)  # its own clock would end it, in half a minute


def test_a_picture_that_hangs_does_not_hold_up_the_end_of_a_build(launch: Start, marks: Path, tmp_path: Path) -> None:
    """A service that is stopped while it builds its index waits for no picture."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "hangs.png").write_bytes(_marking(1, marks, HANG))
    child = launch(pictures=pictures)
    wait_until(lambda: _marked(marks), "the picture is decoded")
    child.send_signal(signal.SIGTERM)
    rest, _ = child.communicate(timeout=HANG_SECONDS)
    assert (child.returncode, rest) == (0, b"")
    assert not [pid for pid in _marked(marks) if Path(f"/proc/{pid}").exists()]


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=HANG_SECONDS).close()
    except ConnectionError:
        return True
    return False


def test_watching_a_parent_needs_a_pipe(launch: Start) -> None:
    """A stdin that is no pipe would end at once, or never."""
    child = launch(stdin=subprocess.DEVNULL)
    _, log = child.communicate(timeout=HANG_SECONDS)
    assert child.returncode == 1
    assert b"must be a pipe" in log


def _config(catalogue: Path, index: Path, **settings: Any) -> ServeConfig:
    return ServeConfig(catalogue=CatalogueConfig(path=catalogue), index_dir=index, announce=False, **settings)


async def test_other_addresses_need_a_key(catalogue: Path, tmp_path: Path) -> None:
    """The service is not reachable from other machines without a key."""
    with pytest.raises(ConfigError, match="set a key"):
        await serve(_config(catalogue, tmp_path, host="0.0.0.0"))


async def test_faults_stay_on_this_machine(catalogue: Path, tmp_path: Path) -> None:
    """Other machines may not inject faults, even with a key."""
    app = AppConfig(keys=(ApiKey(secret=SecretStr("k")),), faults=True)
    with pytest.raises(ConfigError, match="only for tests"):
        await serve(_config(catalogue, tmp_path, host="0.0.0.0", app=app))


async def test_a_port_in_use_is_reported(catalogue: Path, tmp_path: Path) -> None:
    """The error names the address, and says what to do."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServiceError, match=f"can't listen on 127.0.0.1:{port}.*--port"):
            await serve(_config(catalogue, tmp_path, port=port))


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("127.0.0.1", 8077, "http://127.0.0.1:8077"),
        ("localhost", 8077, "http://localhost:8077"),
        ("::1", 8077, "http://[::1]:8077"),
        ("127.0.0.1", 0, None),
        ("0.0.0.0", 8077, None),
        ("::", 8077, None),
    ],
)
def test_only_a_permanent_url_is_used_in_responses(host: str, port: int, url: str | None) -> None:
    """Responses have no URL with a free port, which differs next time, or with an address that can't be called."""
    assert own_url(host, port) == url


async def test_a_missing_catalogue_is_an_error(tmp_path: Path) -> None:
    """The error of the catalogue is raised unchanged."""
    with pytest.raises(TableError):
        await serve(_config(tmp_path / "nowhere.csv", tmp_path, app=AppConfig()))


def test_progress_is_reported_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The end is reported at once, and waiting for another builder is not reported."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    report = ProgressReporter(lambda: False)
    steps = [(0, 0), (0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 2), (2, 2)]
    for clock[0], step in zip((9.0, 9.5, 10.0, 10.5, 12.5, 12.6, 12.7, 14.7), steps, strict=True):
        report(*step)
    lines = ["0 of 1", "1 of 2", "2 of 2", "2 of 2"]
    assert capsys.readouterr().err.splitlines() == [f"index: {each} rows" for each in lines]
