"""The provider against llmock, a fake of OpenAI's service that nobody here wrote, with its faults and its limits."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import orjson
import pytest
from jsonschema import Draft202012Validator

from pipeline import load_config, run
from pipeline.config import Config
from pipeline.schema import json_schema
from tests.providers.openai.fake_service import KEY, KEY_ENV
from tests.runner.test_openai_runs import FIELDS
from tests.running import draw, lines_of
from tests.waiting import HANG_SECONDS, wait_until

pytestmark = pytest.mark.skipif(find_spec("llmock") is None, reason="the package llmock is not installed")


@contextmanager
def llmock(port: int, folder: Path, *options: str) -> Iterator[str]:
    """Start llmock, yield its root, and end it."""
    command = [sys.executable, "-m", "llmock.cli", "serve", "-p", str(port), "--log-level", "warning", *options]
    with (folder / "llmock.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    root = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(f"{root}/health"), "llmock answers")
        yield root
    finally:
        process.terminate()
        process.wait(timeout=HANG_SECONDS)


def answers(url: str) -> bool:
    try:
        with urlopen(url) as answer:
            return bool(answer.status == 200)
    except URLError:
        return False


def job(folder: Path, root: str, rows: int, *sets: str) -> Config:
    for number in range(rows):
        draw(folder / "pictures" / f"p{number}.png", number, size=(64 + number // 100, 48))
    (folder / "job.toml").write_text(
        f'[manifest]\npath = "{folder}/pictures"\n[output]\ndir = "{folder}/out"\nmax_failed = "100%"\n'
        '[limits]\nqps = 0\n[retry]\nattempts = 8\nfirst_wait = "10ms"\nmax_wait = "100ms"\n'
        f'[provider]\nname = "openai"\nmodel = "gpt-4o-mini"\nendpoint = "{root}/v1"\n{FIELDS}'
    )
    return load_config(folder / "job.toml", sets)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_ENV, KEY)


def verdict(root: str) -> Any:
    """Return what llmock says of its client."""
    with urlopen(f"{root}/_llmock/verdict") as answer:
        return orjson.loads(answer.read())


async def test_every_row_ends_once_whatever_fails(
    tmp_path: Path, free_port: int, long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twelve fields, and a fault in every tenth call: each row is a valid record or a named failure, none is lost.

    Of all sends at most a tenth may be retries, so that a service that fails more leaves rows to the next run.
    """
    rows = 1_000 if long else 60
    rates = [f"--error-rate={status}={rate}" for status, rate in (("503", 0.02), ("500", 0.05), ("400", 0.03))]
    with llmock(free_port, tmp_path, *rates) as root:
        config = job(tmp_path, root, rows)
        report = await run(config)
        again = await run(config)
        judged = verdict(root)
    records, failures = (lines_of(tmp_path / "out" / f"{name}.jsonl") for name in ("insights", "failures"))
    schema = Draft202012Validator(json_schema(config.provider.attributes_schema))
    for record in records:
        schema.validate(record)
    ids = Counter(line["id"] for line in records + failures)
    assert (len(ids), set(ids.values())) == (rows, {1})
    assert report.exit_code in {0, 1}
    assert {failure["http_status"] for failure in failures} <= {400}
    assert (again.traffic.sends, again.tally.done_before) == (0, len(records))
    assert report.traffic.sends == rows + report.traffic.retries
    assert judged["passed"], judged
    with capsys.disabled():
        print(f"\nllmock: {len(records)} records, {Counter(f['code'] for f in failures)}, {report.traffic.sends} sends")  # noqa: T201


async def test_its_limits_are_never_met(tmp_path: Path, free_port: int) -> None:
    """It counts a picture's base64 as words: what its headers say is left keeps us below its limit all the same."""
    with llmock(free_port, tmp_path, "--tpm", "60000") as root:
        report = await run(job(tmp_path, root, 18))
        judged = verdict(root)
    assert (report.exit_code, report.traffic.throttled) == (0, 0)
    assert judged["passed"], judged
