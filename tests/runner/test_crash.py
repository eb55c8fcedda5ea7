"""Real processes killed at random, stopped, starved of disk, left by their service: each id once, paid once."""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from pipeline.report.run_json import RUN_FILE
from tests.running import KEY, KEY_ENV, Service, draw, lines_of, running_service, write_config, write_manifest
from tests.waiting import HANG_SECONDS, is_pending, wait_until

ROWS = 2_000
PICTURES = 80
IN_FLIGHT = 4
SEED = 20261121

NOTHING = b'{"_type": "ImageKnowledge", "tags": []}'

pytestmark = pytest.mark.crash


@dataclass(slots=True)
class Storm:
    """A job that is run again and again until it is done, whatever happens to it."""

    config: Path
    service: Service
    kills: int = 0
    exits: Counter[int] = field(default_factory=Counter)
    figures: Counter[str] = field(default_factory=Counter)

    def start(self, **options: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pipeline", "run", str(self.config), "--quiet"]
        with (self.config.parent / "stderr.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment(self.config), **options)  # type: ignore[call-overload, no-any-return] # options of the tests

    def end(self, process: subprocess.Popen[bytes]) -> int:
        code = process.wait(timeout=HANG_SECONDS)
        self.exits[code] += 1
        return code

    def check(self) -> None:
        """Assert that every row stands once and was paid once, but for what was in flight; add up the figures."""
        out = self.config.parent / "out"
        records, failures = lines_of(out / "insights.jsonl"), lines_of(out / "failures.jsonl")
        lines = Counter(failure["line"] for failure in failures)
        assert lines.keys() == expected_failures()
        assert set(lines.values()) == {1}
        ids = Counter(record["id"] for record in records)
        assert set(ids) == {f"r{n}" for n in range(ROWS) if not is_bad(n)}
        assert set(ids.values()) == {1}
        calls = Counter(seen["body_sha256"] for seen in self.service.seen() if seen["status"] == 200)
        twice = calls.total() - len(calls)
        kills = self.kills - self.figures["kills"]
        assert twice <= kills * IN_FLIGHT
        rows = len(records) + len(failures)
        self.figures.update(jobs=1, kills=kills, rows=rows, calls=calls.total(), asked_twice=twice)


def is_bad(number: int) -> bool:
    """Tell which rows fail: a missing picture, or an id that an earlier row has."""
    return number % 97 == 5 or number % 89 == 7


def expected_failures() -> set[int]:
    return {number + 2 for number in range(ROWS) if is_bad(number)}


def environment(config: Path) -> dict[str, str]:
    return {**os.environ, KEY_ENV: KEY, "XDG_STATE_HOME": str(config.parent / "state")}


def rows() -> Iterator[dict[str, str]]:
    for number in range(ROWS):
        image = "missing.png" if number % 97 == 5 else f"p{number % PICTURES}.png"
        yield {"id": "r0" if number % 89 == 7 else f"r{number}", "image": image}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(PICTURES):
        draw(folder / f"p{number}.png", number)
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service"), pictures) as running:
        yield running


@pytest.fixture
def storm(tmp_path: Path, pictures: Path, service: Service) -> Storm:
    os.truncate(service.journal, 0)
    manifest = write_manifest(tmp_path / "manifest.csv", list(rows()))
    config = write_config(
        tmp_path / "job.toml",
        manifest,
        service.endpoint,
        manifest={"root": str(pictures)},
        limits={"concurrency": IN_FLIGHT, "qps": 60},
    )
    return Storm(config, service)


def strike(storm: Storm, number: signal.Signals, times: int, chance: random.Random) -> None:
    """Start the job and send it a signal after a random while, until it was struck often enough; then let it end.

    The while begins as the job opens its state, so that a slow machine strikes it at work, too.
    """
    while storm.kills < times:
        process = storm.start()
        wait_until(partial(is_open, process), "the job has its state open")
        time.sleep(chance.uniform(0.0, 1.2))
        process.send_signal(number)
        code = storm.end(process)
        storm.kills += code in {-number, 128 + number}
        if code in {0, 1}:
            reset(storm)
    while storm.end(storm.start()) not in {0, 1}:
        assert storm.exits.total() < times * 5


def is_open(process: subprocess.Popen[bytes]) -> bool:
    """Return True once a job has opened its state, which it may have to put in order, or has ended."""
    if process.poll() is not None:
        return True
    with suppress(OSError):  # a file that was closed meanwhile, or a process that has ended
        return any(file.readlink().name == "state.db" for file in Path(f"/proc/{process.pid}/fd").iterdir())
    return False


def reset(storm: Storm) -> None:
    """Begin a new job where the old one was done before it was struck often enough, after checking it."""
    storm.check()
    for path in (storm.config.parent / "out").glob("*"):
        path.unlink()
    os.truncate(storm.service.journal, 0)


def test_killed_at_random_instants(storm: Storm, long: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGKILL again and again: nothing lost, nothing twice, nothing torn, asked again at most what was in flight."""
    strike(storm, signal.SIGKILL, 40 if long else 5, random.Random(SEED))
    storm.check()
    with capsys.disabled():
        print(f"\nkill -9: {dict(storm.figures)}")  # noqa: T201 - the figures are what this test is run for


def test_terminated_at_random_instants(storm: Storm, long: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGTERM drains: exit code 143, and no call is ever made twice."""
    strike(storm, signal.SIGTERM, 15 if long else 3, random.Random(SEED + 1))
    storm.check()
    assert storm.figures["asked_twice"] == 0
    assert set(storm.exits) <= {0, 1, 143, -signal.SIGTERM}
    with capsys.disabled():
        print(f"\nSIGTERM: {dict(storm.figures)}")  # noqa: T201 - likewise


@pytest.fixture
def silent(tmp_path: Path, pictures: Path, storm: Storm) -> Iterator[socket.socket]:
    """Return a socket that listens in the place of the service; the job asks there, one row at a time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(HANG_SECONDS)
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}/v7.0"
        root, one = {"root": str(pictures)}, {"concurrency": 1}
        write_config(storm.config, tmp_path / "manifest.csv", endpoint, manifest=root, limits=one)
        yield listener


SIGNALS = pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name
)


def heed(number: signal.Signals) -> Callable[[], None]:
    """Return what lets a child heed a signal that a background shell, or nohup, has switched off."""

    def default() -> None:
        signal.signal(number, signal.SIG_DFL)

    return default


@SIGNALS
def test_a_signal_waits_for_the_answer_that_is_awaited(
    storm: Storm, silent: socket.socket, number: signal.Signals
) -> None:
    """The answer in flight still makes its record, nothing more is asked, and the run says so when the signal comes."""
    process = storm.start(preexec_fn=heed(number))
    connection, _ = silent.accept()
    with connection:
        assert connection.recv(65536)
        process.send_signal(number)
        said = wait_until((storm.config.parent / "stderr.log").read_text, "the run has said what happens")
        assert said.startswith(f"image-insights: {number.name}: finishing what is in flight")
        assert "run again to go on, send the signal again to stop at once" in said
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(NOTHING), NOTHING))
        assert storm.end(process) == 128 + number
    assert len(lines_of(storm.config.parent / "out" / "insights.jsonl")) == 1  # of the row whose picture came first


@SIGNALS
def test_a_second_signal_ends_the_run_at_once(storm: Storm, silent: socket.socket, number: signal.Signals) -> None:
    """It waits for no answer, says that nothing is lost, and leaves no report of an end in good order."""
    process = storm.start(preexec_fn=heed(number))
    connection, _ = silent.accept()
    with connection:
        assert connection.recv(65536)
        for _ in range(2):
            process.send_signal(number)
            wait_until(lambda: not is_pending(process.pid, number), "the signal has arrived")
        assert storm.end(process) == 128 + number
    said = (storm.config.parent / "stderr.log").read_text().splitlines()
    assert said[-1] == (
        f"image-insights: {number.name} again: stopped at once; what was committed is safe, run again to go on"
    )
    assert not (storm.config.parent / "out" / RUN_FILE).exists()


def test_a_disk_quota_stops_the_run_and_the_next_one_goes_on(storm: Storm) -> None:
    """Where files may not grow past 5 MB the run ends with exit code 3 and whole lines; with room it is finished."""

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))

    assert storm.end(storm.start(preexec_fn=little_room)) == 3
    records = lines_of(storm.config.parent / "out" / "insights.jsonl")
    assert 0 < len(records) < ROWS
    storm.kills = 1
    assert storm.end(storm.start()) == 1
    storm.check()


def test_a_service_that_dies_and_comes_back(storm: Storm, tmp_path: Path, pictures: Path) -> None:
    """The run ends with exit code 3 when nobody answers; when the service is back the next run finishes the job."""
    with running_service(tmp_path / "mortal", pictures) as mortal:
        config = write_config(
            tmp_path / "job.toml",
            tmp_path / "manifest.csv",
            mortal.endpoint,
            manifest={"root": str(pictures)},
            limits={"concurrency": IN_FLIGHT, "qps": 60},
            retry={"attempts": 2, "row_timeout": "4s"},  # half of it is waited for a service that was there
        )
        dying = Storm(config, mortal)
        process = dying.start()
        wait_until(lambda: mortal.journal.read_bytes().count(b"\n") > 5, "some calls are answered")
        mortal.process.kill()
        assert dying.end(process) == 3
    with running_service(tmp_path / "mortal", pictures, port=mortal.port) as back:
        again = Storm(config, back, kills=1)
        assert again.end(again.start()) == 1
        again.check()
