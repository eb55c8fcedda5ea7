"""Real processes against the fake as a process of its own: killed at random, and two at once with one key."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.conftest import PROJECT
from tests.providers.google.conftest import KEY_ENV
from tests.providers.google.fake_vision import KEY
from tests.runner.test_crash import is_open
from tests.running import draw, lines_of, write_config, write_manifest
from tests.waiting import HANG_SECONDS, wait_until

ROWS = 240
PICTURES = 80
IN_FLIGHT = 4
PRICE = 0.005  # of labels and web
SEED = 20261130

pytestmark = pytest.mark.crash


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The fake as a process, with what it saw in a file."""

    endpoint: str
    journal: Path

    def seen(self) -> list[dict[str, Any]]:
        """Return the calls that arrived."""
        return [orjson.loads(line) for line in self.journal.read_bytes().splitlines()]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Start the fake, which takes 20 ms for each answer."""
    journal = tmp_path / "journal.jsonl"
    journal.touch()
    command = [sys.executable, "-m", "tests.providers.google.fake_vision", "--port", "0", "--journal", str(journal)]
    command += ["--per-minute", "0", "--latency", "0.02"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        assert process.stdout
        yield Service(endpoint=orjson.loads(process.stdout.readline())["endpoint"], journal=journal)
        process.kill()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Draw the pictures; several rows have the same one."""
    for number in range(PICTURES):
        draw(tmp_path / "pictures" / f"p{number}.png", number)
    return tmp_path / "pictures"


def job(folder: Path, pictures: Path, service: Service, first: int = 0, rows: int = ROWS, **limits: object) -> Path:
    """Write a job of its own folder; return its config."""
    table = [{"id": f"r{n}", "image": f"p{n % PICTURES}.png"} for n in range(first, first + rows)]
    manifest = write_manifest(folder / "manifest.csv", table)
    return write_config(
        folder / "job.toml",
        manifest,
        service.endpoint,
        manifest={"root": str(pictures)},
        provider={"name": "google", "key_env": KEY_ENV, "features": ["labels", "web"]},
        limits={"concurrency": IN_FLIGHT, "qps": 60, "pacer": "file", **limits},
    )


def start(config: Path, state: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline", "run", str(config), "--quiet"]
    environment = {**os.environ, KEY_ENV: KEY, "XDG_STATE_HOME": str(state)}
    with (config.parent / "stderr.log").open("ab") as log:
        return subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log, env=environment)


def test_killed_at_random_instants(service: Service, pictures: Path, tmp_path: Path, *, long: bool) -> None:
    """SIGKILL again and again: each row once, each picture paid for once but for what was in flight, costs counted."""
    config, chance, kills, wanted = job(tmp_path / "job", pictures, service), random.Random(SEED), 0, 20 if long else 4
    for _ in range(4 * wanted):
        process = start(config, tmp_path / "state")
        wait_until(partial(is_open, process), "the job has its state open")
        time.sleep(chance.uniform(0.0, 0.8))
        process.kill()
        kills += process.wait(HANG_SECONDS) == -signal.SIGKILL
        if kills == wanted:
            break
    assert start(config, tmp_path / "state").wait(HANG_SECONDS) == 0, (config.parent / "stderr.log").read_text()

    records = lines_of(config.parent / "out" / "insights.jsonl")
    assert Counter(record["id"] for record in records) == Counter(f"r{n}" for n in range(ROWS))
    calls = Counter(seen["body_sha256"] for seen in service.seen())
    assert len(calls) == PICTURES
    assert calls.total() - PICTURES <= kills * IN_FLIGHT
    paid = sum(record["calls"].get("usage", {}).get("cost", 0.0) for record in records)
    assert paid <= PICTURES * PRICE + 1e-9


def test_two_processes_share_the_rate_and_the_budget_of_a_key(service: Service, pictures: Path, tmp_path: Path) -> None:
    """30 calls a second for both together, and not a cent more than a day may cost."""
    limits: dict[str, object] = {"qps": 30, "cost_per_day": 60 * PRICE}
    configs = [
        job(tmp_path / name, pictures, service, first, 40, **limits) for name, first in (("one", 0), ("two", 40))
    ]
    processes = [start(config, tmp_path / "state") for config in configs]
    codes = [process.wait(HANG_SECONDS) for process in processes]
    assert 5 in codes, [(config.parent / "stderr.log").read_text() for config in configs]
    times = sorted(seen["at"] for seen in service.seen())
    assert len(times) == 60
    most = max(sum(start <= at < start + 1 for at in times) for start in times)
    assert most <= 33  # a busy machine may hold some up on their way
    spent = [orjson.loads((config.parent / "out" / "run.json").read_bytes())["calls"]["cost"] for config in configs]
    assert sum(spent) == pytest.approx(60 * PRICE)
