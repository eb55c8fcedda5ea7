"""A read takes long, and callers leave, come together, or come back: no picture is read twice, no row is lost."""

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
from pipeline.service.access.fair_share import FairShare
from pipeline.service.findings import Crop, Engine
from pipeline.service.http.app import TEXT_READER, AppConfig
from pipeline.service.text import reader as reader_module
from pipeline.service.text.recognised_text import Quad, RecognisedText, TextLine, TextRegion
from pipeline.service.text.workers import OcrWorkers, ReadFailure
from tests.running import KEY, KEY_ENV, lines_of, load, write_config, write_manifest
from tests.service.serving import serving
from tests.sheets import CARDS, SIGNS, png
from tests.waiting import HANG_SECONDS, wait_until

BOX: Quad = ((0.1, 0.2), (0.5, 0.2), (0.5, 0.3), (0.1, 0.3))
TEXT = RecognisedText(regions=(TextRegion(box=BOX, lines=(TextLine(text="a dense page", box=BOX, words=()),)),))
PAGES = 30


class BlockedWorkers(OcrWorkers):
    """Workers that wait for the test before they return `result`, and keep the pictures they got."""

    def __init__(self, max_processes: int) -> None:
        super().__init__(2)
        self.started = threading.Semaphore(0)
        self.finish = threading.Event()
        self.result: RecognisedText | ReadFailure = TEXT
        self.pictures: list[bytes] = []

    async def _read(self, picture: bytes, crop: Crop) -> RecognisedText | ReadFailure:
        self.pictures.append(picture)
        self.started.release()
        await anyio.to_thread.run_sync(self.finish.wait, abandon_on_cancel=True)
        return self.result


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BlockedWorkers]]:
    """Give services blocked workers; return those of the services that were started."""
    made: list[BlockedWorkers] = []

    def make(max_processes: int) -> BlockedWorkers:
        made.append(BlockedWorkers(max_processes))
        return made[-1]

    monkeypatch.setattr(reader_module, "OcrWorkers", make)
    yield made
    for workers in made:
        workers.finish.set()


@pytest.fixture
def slow_service(
    start: Callable[..., Any], blocked: list[BlockedWorkers], real_engine: Engine
) -> tuple[Any, BlockedWorkers]:
    """Start a service with the real engine and blocked workers; return both."""
    return start(real_engine, text=True), blocked[0]


def text_of(response: Any) -> str:
    assert response.status == 200, response.body
    texts = [tag["actions"][1]["displayName"] for tag in response.json["tags"] if tag["displayName"].startswith("##")]
    return "".join(texts)


def test_a_caller_that_leaves_does_not_end_the_read(
    slow_service: tuple[Any, BlockedWorkers], picture: bytes, write_form: Callable[..., bytes]
) -> None:
    """A read that was started is finished and stored: the next request about the picture has its text."""
    service, workers = slow_service
    body = write_form(None, picture)
    head = f"Content-Type: multipart/form-data; boundary=frontier\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(f"POST /v7.0/images/visualsearch HTTP/1.1\r\nHost: localhost\r\n{head}".encode() + body)
        assert workers.started.acquire(timeout=HANG_SECONDS)
    wait_until(lambda: any(entry.status == 499 for entry in service.journal), "the client is seen to have left")
    workers.finish.set()
    assert text_of(service.visual_search(picture=picture)) == "a dense page"
    assert workers.pictures == [picture]


def test_requests_about_one_picture_share_one_read(slow_service: tuple[Any, BlockedWorkers], picture: bytes) -> None:
    """Requests that arrive while a picture is read wait for the same result."""
    service, workers = slow_service
    with ThreadPoolExecutor() as pool:
        requests = [pool.submit(service.visual_search, picture=picture) for _ in range(4)]
        assert workers.started.acquire(timeout=HANG_SECONDS)
        workers.finish.set()
        assert [text_of(each.result()) for each in requests] == ["a dense page"] * 4
    assert len(workers.pictures) == 1


def test_a_request_that_would_wait_too_long_is_refused(
    slow_service: tuple[Any, BlockedWorkers], picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets a 429 with Retry-After; the read goes on, and the next response has the text."""
    monkeypatch.setattr(service_reader(slow_service), "_max_wait", 0.2)
    service, workers = slow_service
    refused = service.visual_search(picture=picture)
    assert (refused.status, refused.error["code"]) == (429, "RateLimitExceeded")
    assert int(refused.headers["retry-after"]) >= 1
    workers.finish.set()
    monkeypatch.setattr(service_reader(slow_service), "_max_wait", HANG_SECONDS)
    assert text_of(service.visual_search(picture=picture)) == "a dense page"
    assert workers.pictures == [picture]


def test_the_queue_is_limited(
    slow_service: tuple[Any, BlockedWorkers], paint: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A further picture is refused at once; a picture that is in the queue already is not."""
    service, workers = slow_service
    monkeypatch.setattr(service_reader(slow_service)._queue, "_share", FairShare(1))
    first, second = paint((1, 2, 3)), paint((200, 20, 30))
    with ThreadPoolExecutor() as pool:
        requests = [pool.submit(service.visual_search, picture=first)]
        assert workers.started.acquire(timeout=HANG_SECONDS)
        assert service.visual_search(picture=second).status == 429
        requests.append(pool.submit(service.visual_search, picture=first))
        workers.finish.set()
        assert [text_of(each.result()) for each in requests] == ["a dense page"] * 2


def test_a_retryable_failure_is_refused_twice(slow_service: tuple[Any, BlockedWorkers], picture: bytes) -> None:
    """Two requests get a 503 with Retry-After; the third gets a response without text, and the reason."""
    service, workers = slow_service
    workers.result = ReadFailure(reason="too little memory", retryable=True)
    workers.finish.set()
    for _ in range(2):
        refused = service.visual_search(picture=picture)
        assert (refused.status, refused.error["subCode"]) == (503, "ResourceError")
        assert (refused.error["moreDetails"], refused.headers["retry-after"]) == ("too little memory", "5")
    response = service.visual_search(picture=picture).json
    assert {"kind": "text", "reason": "too little memory"} in response["unavailable"]


def test_the_reason_is_kept_until_a_request_gets_it(
    slow_service: tuple[Any, BlockedWorkers], picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture whose failures take longer than callers wait is given up after three attempts."""
    service, workers = slow_service
    workers.result = ReadFailure(reason="too slow", retryable=True)
    reader = service_reader(slow_service)
    for _ in range(3):
        monkeypatch.setattr(reader, "_max_wait", 0.2)
        workers.finish.clear()
        assert service.visual_search(picture=picture).status == 429
        assert workers.started.acquire(timeout=HANG_SECONDS)
        workers.finish.set()
        wait_until(lambda: not len(reader._queue), "the read has ended")
    monkeypatch.setattr(reader, "_max_wait", HANG_SECONDS)
    assert {"kind": "text", "reason": "too slow"} in service.visual_search(picture=picture).json["unavailable"]
    assert len(workers.pictures) == 3


def service_reader(slow_service: tuple[Any, BlockedWorkers]) -> Any:
    return slow_service[0].app[TEXT_READER]


def test_a_service_stops_while_a_request_waits_for_its_text(
    real_engine: Engine, blocked: list[BlockedWorkers], picture: bytes
) -> None:
    """The request has the time of the orderly stop; then its read is dropped."""
    with ThreadPoolExecutor() as pool:
        with serving(real_engine, AppConfig(text=True)) as service:
            request = pool.submit(service.visual_search, picture=picture)
            assert blocked[0].started.acquire(timeout=HANG_SECONDS)
        with pytest.raises(RemoteDisconnected):
            request.result()
    assert not blocked[0].finish.is_set()


class SlowWorkers(OcrWorkers):
    """Two workers that take 0.45 s for each page."""

    async def _read(self, picture: bytes, crop: Crop) -> RecognisedText | ReadFailure:
        await anyio.sleep(0.45)
        return TEXT


@pytest.mark.parametrize("concurrency", [0, 24], ids=["from the latency", "far too many"])
async def test_a_run_over_dense_pages_loses_no_row(
    concurrency: int,
    tmp_path: Path,
    start: Callable[..., Any],
    real_engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 24 requests in flight the last would take 5.4 s, with a timeout of 4.8 s: none times out or is retried.

    Real pages take 15 s each, with a timeout of 60 s.
    """
    monkeypatch.setattr(reader_module, "OcrWorkers", lambda _: SlowWorkers(2))
    monkeypatch.setattr(reader_module, "MAX_WAIT_SECONDS", 1.5)
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
        retry={"request_timeout": "4.8s", "attempts": 2},
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
from pipeline.service.server import ServeConfig, serve
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
        connection = HTTPConnection("127.0.0.1", port, timeout=HANG_SECONDS)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
        child.terminate()
        _, log = child.communicate(timeout=HANG_SECONDS)
    assert (child.returncode, b"Traceback" in log) == (0, False), log
