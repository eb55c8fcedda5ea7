"""Reading takes long, and callers go away, come in crowds, or come back: no picture is read twice, no row is lost."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import orjson
import pytest
from PIL import Image

from pipeline import run
from pipeline.service.findings import Crop, Engine
from pipeline.service.http.app import READER, AppConfig
from pipeline.service.text import reader as reader_module
from pipeline.service.text.values import Line, Quad, Region, Text
from pipeline.service.text.workers import Unread, Workers
from tests.running import KEY, KEY_ENV, lines_of, load, write_config, write_manifest
from tests.service.http.conftest import serving
from tests.sheets import CARDS, SIGNS, png

BOX: Quad = ((0.1, 0.2), (0.5, 0.2), (0.5, 0.3), (0.1, 0.3))
TEXT = Text(regions=(Region(box=BOX, lines=(Line(text="a dense page", box=BOX, words=()),)),))
PAGES = 30


class Slow(Workers):
    """Workers that read a picture when the test lets them, and then say what they are told to."""

    def __init__(self, most: int) -> None:
        super().__init__(2)
        self.begun = threading.Semaphore(0)
        self.finish = threading.Event()
        self.says: Text | Unread = TEXT
        self.read_bytes: list[bytes] = []

    async def _read(self, picture: bytes, crop: Crop) -> Text | Unread:
        self.read_bytes.append(picture)
        self.begun.release()
        await anyio.to_thread.run_sync(self.finish.wait, abandon_on_cancel=True)
        return self.says


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Slow]]:
    """Let services have slow workers; return those of the services that were started."""
    made: list[Slow] = []

    def make(most: int) -> Slow:
        made.append(Slow(most))
        return made[-1]

    monkeypatch.setattr(reader_module, "Workers", make)
    yield made
    for workers in made:
        workers.finish.set()


@pytest.fixture
def real(start: Callable[..., Any], slow: list[Slow], real_engine: Engine) -> tuple[Any, Slow]:
    """Start a service with the real engine and slow workers."""
    return start(real_engine, text=True), slow[0]


def text_of(answer: Any) -> str:
    assert answer.status == 200, answer.body
    found = [tag["actions"][1]["displayName"] for tag in answer.json["tags"] if tag["displayName"].startswith("##")]
    return "".join(found)


def test_a_caller_that_leaves_does_not_end_the_reading(
    real: tuple[Any, Slow], picture: bytes, write_form: Callable[..., bytes]
) -> None:
    """What was begun is finished and kept: the next caller who asks about the picture has its text."""
    service, workers = real
    body = write_form(None, picture)
    head = f"Content-Type: multipart/form-data; boundary=frontier\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(f"POST /v7.0/images/visualsearch HTTP/1.1\r\nHost: localhost\r\n{head}".encode() + body)
        assert workers.begun.acquire(timeout=20)
    while not [seen for seen in service.seen if seen.status == 499]:
        service.send("GET", "/healthz")
    workers.finish.set()
    assert text_of(service.ask(picture=picture)) == "a dense page"
    assert workers.read_bytes == [picture]


def test_many_who_ask_share_one_reading(real: tuple[Any, Slow], picture: bytes) -> None:
    """Callers who come while a picture is read wait for the same answer."""
    service, workers = real
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(service.ask, picture=picture) for _ in range(4)]
        assert workers.begun.acquire(timeout=20)
        workers.finish.set()
        assert [text_of(each.result()) for each in asked] == ["a dense page"] * 4
    assert len(workers.read_bytes) == 1


def test_who_would_wait_too_long_is_asked_to_come_back(
    real: tuple[Any, Slow], picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before callers give up they get a 429 with Retry-After; the reading goes on, and the next answer has the text."""
    monkeypatch.setattr(service_reader(real), "_patience", 0.2)
    service, workers = real
    refused = service.ask(picture=picture)
    assert (refused.status, refused.error["code"]) == (429, "RateLimitExceeded")
    assert int(refused.headers["retry-after"]) >= 1
    workers.finish.set()
    monkeypatch.setattr(service_reader(real), "_patience", 20.0)
    assert text_of(service.ask(picture=picture)) == "a dense page"
    assert workers.read_bytes == [picture]


def test_the_queue_has_an_end(
    real: tuple[Any, Slow], paint: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More pictures than may wait are refused at once, those that wait already are not."""
    monkeypatch.setattr(reader_module, "MOST_WAITING", 1)
    service, workers = real
    first, second = paint((1, 2, 3)), paint((200, 20, 30))
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(service.ask, picture=first)]
        assert workers.begun.acquire(timeout=20)
        assert service.ask(picture=second).status == 429
        asked.append(pool.submit(service.ask, picture=first))
        workers.finish.set()
        assert [text_of(each.result()) for each in asked] == ["a dense page"] * 2


def test_trouble_that_may_pass_is_a_refusal_first(real: tuple[Any, Slow], picture: bytes) -> None:
    """Twice the caller is asked to come back; then it gets the answer without text, and the reason."""
    service, workers = real
    workers.says = Unread(reason="too little memory", again=True)
    workers.finish.set()
    for _ in range(2):
        refused = service.ask(picture=picture)
        assert (refused.status, refused.error["subCode"]) == (503, "ResourceError")
        assert (refused.error["moreDetails"], refused.headers["retry-after"]) == ("too little memory", "5")
    answer = service.ask(picture=picture).json
    assert {"kind": "text", "reason": "too little memory"} in answer["unavailable"]


def test_the_reason_waits_for_callers_who_had_to_go(
    real: tuple[Any, Slow], picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture that fails longer than callers wait does not loop for ever: after three readings it is given up."""
    service, workers = real
    workers.says = Unread(reason="too slow", again=True)
    reader = service_reader(real)
    for _ in range(3):
        monkeypatch.setattr(reader, "_patience", 0.2)
        workers.finish.clear()
        assert service.ask(picture=picture).status == 429
        assert workers.begun.acquire(timeout=20)
        workers.finish.set()
        while len(reader._readings):
            service.send("GET", "/healthz")
    monkeypatch.setattr(reader, "_patience", 20.0)
    assert {"kind": "text", "reason": "too slow"} in service.ask(picture=picture).json["unavailable"]
    assert len(workers.read_bytes) == 3


def service_reader(real: tuple[Any, Slow]) -> Any:
    return real[0].app[READER]


def test_a_service_stops_while_a_caller_waits_for_a_reading(
    real_engine: Engine, slow: list[Slow], picture: bytes
) -> None:
    """The caller has the time of the orderly stop; then the reading is dropped, though it never ends."""
    with ThreadPoolExecutor() as pool:
        with serving(real_engine, AppConfig(text=True)) as service:
            asked = pool.submit(service.ask, picture=picture)
            assert slow[0].begun.acquire(timeout=20)
        with pytest.raises(RemoteDisconnected):
            asked.result()
    assert not slow[0].finish.is_set()


class Timed(Workers):
    """Two workers to which each page takes a while."""

    async def _read(self, picture: bytes, crop: Crop) -> Text | Unread:
        await anyio.sleep(0.15)
        return TEXT


@pytest.mark.parametrize("concurrency", [0, 16], ids=["from the latency", "far too many"])
async def test_a_run_over_dense_pages_loses_no_row(
    concurrency: int,
    tmp_path: Path,
    start: Callable[..., Any],
    real_engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sixteen in flight would each wait for 1.2 s, with a limit of 1 s: none runs into it, none costs a retry.

    In the proportions of real pages: 15 s each, with a limit of 60 s.
    """
    monkeypatch.setattr(reader_module, "Workers", lambda _: Timed(2))
    monkeypatch.setattr(reader_module, "PATIENCE", 0.5)
    monkeypatch.setenv(KEY_ENV, KEY)
    rows = [{"id": str(n), "image": f"{n}.png"} for n in range(PAGES)]
    for n in range(PAGES):
        Image.new("RGB", (40, 40), (n, 2 * n, 3 * n)).save(tmp_path / f"{n}.png")
    service = start(real_engine, text=True, faults=False)
    endpoint = f"{service.url}/v7.0"
    manifest = write_manifest(tmp_path / "list.csv", rows)
    config = write_config(
        tmp_path / "job.toml",
        manifest,
        endpoint,
        limits={"concurrency": concurrency},
        retry={"request_timeout": "1s", "attempts": 2},
    )
    summary = await run(load(config))
    assert summary.exit_code == 0
    records = lines_of(tmp_path / "out" / "insights.jsonl")
    assert [record["text"]["full"] for record in records] == ["a dense page"] * PAGES
    assert summary.traffic.faults == 0


SERVICE = """
import sys
from pathlib import Path
import anyio
from pipeline.service.http.app import AppConfig
from pipeline.service.findings import CatalogueConfig
from pipeline.service.serve import ServeConfig, serve
anyio.run(serve, ServeConfig(catalogue=CatalogueConfig(path=Path(sys.argv[1])), index_dir=Path(sys.argv[2]),
                             app=AppConfig(text=True)))
"""


def test_a_service_that_stops_while_it_reads_ahead_ends_cleanly(tmp_path: Path, project: Path) -> None:
    """SIGTERM in the middle of the catalogue: exit code 0, and no traceback in the log."""
    for number, sheet in enumerate([*CARDS, *SIGNS]):
        (tmp_path / f"{number}.png").write_bytes(png(sheet.draw()))
    command = [sys.executable, "-c", SERVICE, str(tmp_path), str(tmp_path / "index")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=project, stdout=pipe, stderr=pipe) as child:
        assert child.stdout is not None
        port = orjson.loads(child.stdout.readline())["port"]
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
        child.terminate()
        _, log = child.communicate(timeout=20)
    assert (child.returncode, b"Traceback" in log) == (0, False), log
