"""Real processes against the fake as a process of its own, killed at random instants."""

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


@pytest.fixture
def config(tmp_path: Path, endpoint: str) -> Path:
    """Write a job of two searches a row."""
    for number in range(ROWS):
        draw(tmp_path / f"p{number}.png", number)
    table = [{"id": f"r{n}", "image": f"p{n}.png"} for n in range(ROWS)]
    provider = {"name": "lens", "key_env": KEY_ENV, "types": ["products", "exact_matches"], "public_base": PUBLIC}
    manifest = write_manifest(tmp_path / "manifest.csv", table)
    limits = {"concurrency": IN_FLIGHT, "qps": 60, "pacer": "file"}
    return write_config(tmp_path / "job.toml", manifest, endpoint, provider=provider, limits=limits)


def start(config: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline", "run", str(config), "--quiet"]
    environment = {**os.environ, KEY_ENV: KEY, "XDG_STATE_HOME": str(config.parent / "state")}
    with (config.parent / "stderr.log").open("ab") as log:
        return subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log, env=environment)


def test_killed_at_random_instants(config: Path, journal: Path, *, long: bool) -> None:
    """SIGKILL again and again: each row once, each search paid for once but for what was in flight, no key anywhere."""
    chance, kills, wanted = random.Random(SEED), 0, 20 if long else 3
    for _ in range(4 * wanted):
        process = start(config)
        wait_until(partial(is_open, process), "the job has its state open")
        time.sleep(chance.uniform(0.0, 0.8))
        process.kill()
        kills += process.wait(HANG_SECONDS) == -signal.SIGKILL
        if kills == wanted:
            break
    assert start(config).wait(HANG_SECONDS) == 0, (config.parent / "stderr.log").read_text()

    records = lines_of(config.parent / "out" / "insights.jsonl")
    assert Counter(record["id"] for record in records) == Counter(f"r{n}" for n in range(ROWS))
    seen: list[Any] = [orjson.loads(line)["query"] for line in journal.read_bytes().splitlines()]
    searches = Counter((query["url"], query["type"]) for query in seen)
    assert len(searches) == 2 * ROWS
    assert searches.total() - 2 * ROWS <= kills * IN_FLIGHT
    for path in (
        *(config.parent / "out").rglob("*"),
        *(config.parent / "state").rglob("*"),
        config.parent / "stderr.log",
    ):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
