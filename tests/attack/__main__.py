"""Attacks the embedded service for a time while an honest client uses it: python -m tests.attack [--seconds 120].

The table shows what the client and the service went through; the exit code is 1 if a line misses its bound.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Thread

from tests.attack.process_tree import descendants, memory_mb, processor_seconds, threads
from tests.poison import acting_decoder
from tests.service.engine.drawing import draw, encode, fill
from tests.service.serving import form

PICTURES = 40
MAX_MEDIAN_SECONDS, MAX_SECONDS, MAX_MB, MAX_STOP_SECONDS = 2.0, 10.0, 500.0, 10.0
MAX_LOG_KB = 200.0
# After the attack, until what was begun has ended, and threads without work.
CALM_SECONDS = 15.0
_HONEST_PAUSE = 0.2
_TIMEOUT = 60.0


@dataclass
class Honest:
    """A client that uploads and searches, one request after the other."""

    port: int
    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def run(self, stop: Event) -> None:
        """Send requests until `stop` is set."""
        number = 0
        while not stop.wait(_HONEST_PAUSE):
            number += 1
            started = time.monotonic()
            if problem := self.ask(number):
                self.problems.append(problem)
            self.seconds.append(time.monotonic() - started)

    def ask(self, number: int) -> str | None:
        """Send one request; return what is wrong with the response."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT)
        try:
            if number % 2:
                connection.request("GET", "/v7.0/images/search?q=001")
            else:
                body = form(None, encode(draw(number % PICTURES), "PNG"))
                kind = {"Content-Type": "multipart/form-data; boundary=frontier"}
                connection.request("POST", "/v7.0/images/visualsearch", body, kind)
            response = connection.getresponse()
            text = response.read()
        except (OSError, HTTPException) as exc:
            return repr(exc)
        finally:
            connection.close()
        return None if response.status == 200 else f"{response.status} {text[:200]!r}"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table: a value, and its bound."""

    what: str
    value: float
    most: float

    @property
    def holds(self) -> bool:
        """True if the value is within its bound."""
        return self.value <= self.most


def main() -> int:
    """Attack the service, and print what it did."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=120.0)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        lines = _attack(Path(name), options.seconds)
    _print(
        *(f"{'ok' if each.holds else 'NO'}  {each.what:55} {each.value:9.2f}   at most {each.most:g}" for each in lines)
    )
    return int(not all(line.holds for line in lines))


def _attack(folder: Path, seconds: float) -> list[Line]:
    log = folder / "log.txt"
    with acting_decoder(folder), _served(fill(folder / "pictures", PICTURES), log) as (service, port):
        honest = Honest(port=port)
        idle_threads = _threads_in_use(service.pid, honest)
        with _running(honest):
            with _attackers(port):
                most_mb = _watch_memory(service.pid, seconds)
            time.sleep(CALM_SECONDS)
        waits, problems = honest.seconds.copy(), honest.problems.copy()
        more_threads = _threads_in_use(service.pid, honest) - idle_threads
        processes, busy = _left_at_work(service.pid)
        stop_seconds, left = _stop(service, port)
    _print(*(f"not answered: {problem}" for problem in problems[:10]))
    return [
        Line(what="requests of the honest client that failed", value=len(problems), most=0),
        Line(
            what=f"seconds until an answer, median of {len(waits)}",
            value=statistics.median(waits),
            most=MAX_MEDIAN_SECONDS,
        ),
        Line(what="seconds until an answer, the longest", value=max(waits), most=MAX_SECONDS),
        Line(what="MB of the service and its processes, most", value=most_mb, most=MAX_MB),
        Line(what="KB logged", value=log.stat().st_size / 1024, most=MAX_LOG_KB),
        Line(what="threads, more than before the attack", value=more_threads, most=0),
        Line(what="decoder processes after the attack", value=processes, most=os.cpu_count() or 1),
        Line(what="seconds of the processor in two, after the attack", value=busy, most=0.2),
        Line(what="seconds from SIGTERM under attack to the end", value=stop_seconds, most=MAX_STOP_SECONDS),
        Line(what="exit code", value=abs(service.returncode), most=0),
        Line(what="processes left", value=left, most=0),
    ]


@contextmanager
def _served(pictures: Path, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start the service over a folder of pictures; yields it with its port."""
    index = pictures.parent / "index"
    options = ["--catalogue", str(pictures), "--index", str(index), "--port", "0", "--no-text"]
    with log.open("wb") as errors:
        service = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "serve", *options], stdout=subprocess.PIPE, stderr=errors
        )
    try:
        assert service.stdout is not None
        yield service, json.loads(service.stdout.readline())["port"]
    finally:
        service.kill()
        service.communicate()


@contextmanager
def _running(honest: Honest) -> Iterator[None]:
    """Let the honest client work in a thread of its own."""
    stop = Event()
    thread = Thread(target=honest.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def _attackers(port: int) -> Iterator[None]:
    """Attack a port from another process."""
    attackers = subprocess.Popen([sys.executable, "-m", "tests.attack.attackers", str(port)])
    try:
        yield
        assert attackers.poll() is None, "the attackers have given up"
    finally:
        attackers.kill()
        attackers.wait()


def _threads_in_use(pid: int, honest: Honest) -> int:
    """Return the threads that a service has when one client uses it: idle ones end after some of its requests."""
    for number in range(20):
        assert honest.ask(number) is None
        time.sleep(_HONEST_PAUSE)
    return threads(pid)


def _watch_memory(pid: int, seconds: float) -> float:
    """Return the most memory of a service and its processes within some time."""
    ends, most = time.monotonic() + seconds, 0.0
    while time.monotonic() < ends:
        most = max(most, memory_mb({pid, *descendants(pid)}))
        time.sleep(0.5)
    return most


def _left_at_work(pid: int) -> tuple[int, float]:
    """Return the processes of a service without requests, and the time of the processor that all use in two seconds."""
    processes = descendants(pid)
    before = processor_seconds({pid, *processes})
    time.sleep(2)
    return len(processes), processor_seconds({pid, *processes}) - before


def _stop(service: subprocess.Popen[bytes], port: int) -> tuple[float, int]:
    """End the service while it is attacked; return how long that took, and how many of its processes are left."""
    with _attackers(port):
        time.sleep(5)
        processes = descendants(service.pid)
        started = time.monotonic()
        service.send_signal(signal.SIGTERM)
        service.wait(_TIMEOUT)
        seconds = time.monotonic() - started
    return seconds, len([pid for pid in processes if Path(f"/proc/{pid}").exists()])


def _print(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)  # noqa: T201 - what this program is for


if __name__ == "__main__":
    raise SystemExit(main())
