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
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.conftest import PROJECT
from tests.providers.lens.conftest import KEY_ENV, PUBLIC
from tests.providers.lens.fake_serpapi import KEY
from tests.runner.test_crash import is_open
from tests.running import draw, lines_of, write_config, write_manifest
from tests.waiting import HANG_SECONDS, wait_until

ROWS = 60
IN_FLIGHT = 4
SEED = 20261201

pytestmark = pytest.mark.crash


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return the file in which the fake writes what it saw."""
    (tmp_path / "journal.jsonl").touch()
    return tmp_path / "journal.jsonl"


@pytest.fixture
def endpoint(journal: Path) -> Iterator[str]:
    """Start the fake, which takes 20 ms for each answer."""
    command = [sys.executable, "-m", "tests.providers.lens.fake_serpapi", "--port", "0", "--journal", str(journal)]
    command += ["--latency", "0.02"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield orjson.loads(process.stdout.readline())["endpoint"]
        process.kill()


def job(folder: Path, endpoint: str, first: int = 0, rows: int = ROWS, **limits: object) -> Path:
    """Write a job of two searches a row in a folder of its own; return its config."""
    for number in range(first, first + rows):
        draw(folder / f"p{number}.png", number)
    table = [{"id": f"r{n}", "image": f"p{n}.png"} for n in range(first, first + rows)]
    provider = {"name": "lens", "key_env": KEY_ENV, "types": ["products", "exact_matches"], "public_base": PUBLIC}
    manifest = write_manifest(folder / "manifest.csv", table)
    limits = {"concurrency": IN_FLIGHT, "qps": 60, "pacer": "file", **limits}
    return write_config(folder / "job.toml", manifest, endpoint, provider=provider, limits=limits)


@pytest.fixture
def config(tmp_path: Path, endpoint: str) -> Path:
    """Write the job that is killed."""
    return job(tmp_path, endpoint)


def searches_of(journal: Path) -> list[Any]:
    """Return the searches that arrived."""
    return [orjson.loads(line) for line in journal.read_bytes().splitlines()]


def start(config: Path, state: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline", "run", str(config), "--quiet"]
    environment = {**os.environ, KEY_ENV: KEY, "XDG_STATE_HOME": str(state)}
    with (config.parent / "stderr.log").open("ab") as log:
        return subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log, env=environment)


def test_killed_at_random_instants(config: Path, journal: Path, tmp_path: Path, *, long: bool) -> None:
    """SIGKILL again and again: each row once, each search paid for once but for what was in flight, no key anywhere."""
    chance, kills, wanted = random.Random(SEED), 0, 20 if long else 3
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
    searches = Counter((seen["query"]["url"], seen["query"]["type"]) for seen in searches_of(journal))
    assert len(searches) == 2 * ROWS
    assert searches.total() - 2 * ROWS <= kills * IN_FLIGHT
    for path in (
        *(config.parent / "out").rglob("*"),
        *(config.parent / "state").rglob("*"),
        config.parent / "stderr.log",
    ):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_two_processes_share_the_rate_of_a_key(endpoint: str, journal: Path, tmp_path: Path) -> None:
    """20 searches a second for both together; each search is paid for once, and each row has its record."""
    configs = [job(tmp_path / name, endpoint, first, 20, qps=20) for name, first in (("one", 0), ("two", 20))]
    processes = [start(config, tmp_path / "state") for config in configs]
    codes = [process.wait(HANG_SECONDS) for process in processes]
    assert codes == [0, 0], [(config.parent / "stderr.log").read_text() for config in configs]
    searches = searches_of(journal)
    assert len(searches) == len({(seen["query"]["url"], seen["query"]["type"]) for seen in searches}) == 2 * 40
    times = [seen["at"] for seen in searches]
    most = max(sum(start <= at < start + 1 for at in times) for start in times)
    assert most <= 22  # a busy machine may hold some up on their way
    records = [record["id"] for config in configs for record in lines_of(config.parent / "out" / "insights.jsonl")]
    assert Counter(records) == Counter(f"r{n}" for n in range(40))
