"""Jobs that ask a model, killed again and again, and beside each other: each row once, each picture paid once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pipeline import load_config
from pipeline.schema import json_schema
from tests.providers.openai.fake_service import FAULTS, KEY, KEY_ENV, MODEL, running_process
from tests.runner.test_openai_runs import FIELDS
from tests.running import draw, lines_of
from tests.waiting import HANG_SECONDS, wait_until

IN_FLIGHT = 4
SEED = 20261130
NAMED = {"cut-off", "refused-content", "answer-not-json", "answer-invalid", "blocked"}

pytestmark = pytest.mark.crash


def write_job(folder: Path, endpoint: str, rows: int, **limits: float) -> Path:
    """Write a job over so many pictures, each unlike the others."""
    for number in range(rows):
        draw(folder / "pictures" / f"p{number}.png", number, size=(64 + number // 100, 48))
    (folder / "manifest.csv").write_text("id,image\n" + "".join(f"r{n},pictures/p{n}.png\n" for n in range(rows)))
    limits = {"qps": 0, "concurrency": IN_FLIGHT, **limits}
    config = folder / "job.toml"
    config.write_text(
        f'[manifest]\npath = "{folder}/manifest.csv"\n[output]\ndir = "{folder}/out"\nmax_failed = "100%"\n'
        '[retry]\nattempts = 8\nfirst_wait = "10ms"\nmax_wait = "50ms"\n[limits]\n'
        + "".join(f"{name} = {value}\n" for name, value in limits.items())
        + f'[provider]\nname = "openai"\nmodel = "{MODEL}"\nendpoint = "{endpoint}"\n{FIELDS}'
    )
    return config


def start(config: Path, state: Path) -> subprocess.Popen[bytes]:
    """Start a run of a job, with its errors in a file beside it."""
    environment = {**os.environ, KEY_ENV: KEY, "XDG_STATE_HOME": str(state)}
    command = [sys.executable, "-m", "pipeline", "run", str(config), "--quiet"]
    with (config.parent / "stderr.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


def check(config: Path, seen: list[dict[str, Any]], rows: int, kills: int) -> Counter[str]:
    """Assert that every row is a valid record or a named failure, once, and that none was paid twice but by a kill."""
    schema = Draft202012Validator(json_schema(load_config(config).provider.attributes_schema))
    records, failures = (lines_of(config.parent / "out" / f"{name}.jsonl") for name in ("insights", "failures"))
    for record in records:
        schema.validate(record)
    ids = Counter(line["id"] for line in records + failures)
    assert (len(ids), set(ids.values())) == (rows, {1})
    assert {failure["code"] for failure in failures} <= NAMED
    answered = Counter(call["picture"] for call in seen if call["status"] == 200 and call["ending"] == "stop")
    assert answered.total() - len(answered) <= kills * IN_FLIGHT
    return Counter(
        records=len(records),
        failures=len(failures),
        calls=len(seen),
        twice=answered.total() - len(answered),
        kills=kills,
    )


def test_killed_at_random_instants(tmp_path: Path, long: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGKILL again and again, at a service that fails all the time: nothing lost, nothing torn, nothing twice."""
    rows, kills, chance = (1_000 if long else 150), 0, random.Random(SEED)
    faults = dict.fromkeys(FAULTS, 0.02)
    with running_process(tmp_path / "journal.jsonl", latency=0.03, rates=faults, seed=SEED) as service:
        config = write_job(tmp_path, service.endpoint, rows)
        while kills < (20 if long else 4):
            process = start(config, tmp_path / "state")
            arrived = len(service.seen())
            wait_until(lambda: len(service.seen()) > arrived or process.poll() is not None, "calls arrive")  # noqa: B023 - called at once
            time.sleep(chance.uniform(0.0, 0.5))
            process.kill()
            if process.wait(timeout=HANG_SECONDS) != -signal.SIGKILL:
                break
            kills += 1
        assert kills
        assert start(config, tmp_path / "state").wait(timeout=HANG_SECONDS) in {0, 1}
        figures = check(config, service.seen(), rows, kills)
    with capsys.disabled():
        print(f"\nkill -9, a model: {dict(figures)}")  # noqa: T201 - the figures are what this test is run for


def test_two_processes_with_one_key_keep_both_limits(tmp_path: Path) -> None:
    """Two jobs at once, in processes of their own: together within the calls of a second and the tokens of a minute."""
    rows, tokens = 12, 300_000
    with running_process(tmp_path / "journal.jsonl") as service:
        limits = {"qps": 20, "tokens_per_minute": tokens}
        jobs = [write_job(tmp_path / name, service.endpoint, rows, **limits) for name in "ab"]
        processes = [start(config, tmp_path / "state") for config in jobs]
        assert [process.wait(timeout=HANG_SECONDS) for process in processes] == [0, 0]
        seen = sorted(service.seen(), key=lambda call: float(call["at"]))
    assert len(seen) == 2 * rows
    stamps = [call["at"] for call in seen]
    assert max(sum(start_ <= at < start_ + 1 for at in stamps) for start_ in stamps) <= 20
    used = sum(call["tokens"] + call["tokens_out"] for call in seen[:-1])  # an answer gives back what it did not use
    # The pace allows for lateness of one second, in which so much may be made up for; and a call may arrive late.
    assert stamps[-1] - stamps[0] >= 0.95 * (used - tokens / 60) / tokens * 60
