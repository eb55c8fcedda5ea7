"""A whole job for tests: pictures drawn on the spot, a manifest, a config, and the real service as a process."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import anyio
import orjson
from PIL import Image, ImageDraw

from pipeline import load_config
from pipeline.config import Config
from pipeline.report.run_json import Report
from pipeline.runner.job import run
from tests.waiting import HANG_SECONDS

KEY = "recognisable-key-0123456789"
KEY_ENV = "TEST_INSIGHTS_KEY"


def draw(path: Path, number: int, size: tuple[int, int] = (64, 48)) -> Path:
    """Draw a picture that is like no other number's."""
    picture = Image.new("RGB", size, ((number * 37) % 256, (number * 91) % 256, (number * 151) % 256))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((number % 20, number % 13, 30 + number % 30, 25 + number % 20), fill=((number * 17) % 256, 200, 30))
    pen.text((2, 30), str(number), fill="white")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The embedded service as a process of its own, with faults on demand and a journal of what arrived."""

    port: int
    journal: Path
    process: subprocess.Popen[bytes]

    @property
    def endpoint(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}/v7.0"

    def faults(self, *faults: Mapping[str, object]) -> None:
        """Let the next calls fail like this; without any, let no further call fail."""
        url = f"http://127.0.0.1:{self.port}/_faults"
        with urlopen(Request(url, orjson.dumps(faults), method="POST")) as answer:
            assert answer.status < 300

    def seen(self) -> list[dict[str, Any]]:
        """Return what arrived, in the order it was answered."""
        lines = self.journal.read_bytes().splitlines()
        return [line for line in map(orjson.loads, lines) if "/images/" in line["path"]]


@contextmanager
def running_service(
    folder: Path, catalogue: Path, *options: str, port: int = 0, environ: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """Start the service over a catalogue and end it afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / "journal.jsonl"
    command = [sys.executable, "-m", "pipeline", "serve", "--catalogue", str(catalogue), "--port", str(port)]
    command += ["--index", str(folder / "index"), "--faults", "--journal", str(journal), "--with-parent", *options]
    pipe = subprocess.PIPE
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, env={**os.environ, **(environ or {})})
    assert process.stdout
    assert process.stdin
    try:
        ready = process.stdout.readline()
        assert ready, (folder / "service.log").read_text()
        yield Service(port=orjson.loads(ready)["port"], journal=journal, process=process)
    finally:
        process.stdin.close()
        process.wait(timeout=HANG_SECONDS)
        process.stdout.close()


def write_manifest(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """Write a CSV manifest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_config(path: Path, source: Path, endpoint: str, /, **tables: Mapping[str, object]) -> Path:
    """Write the config of a job against an endpoint; `tables` add keys to its tables."""
    merged: dict[str, dict[str, object]] = {
        "manifest": {"path": str(source)},
        "provider": {"name": "bing", "endpoint": endpoint, "key_env": KEY_ENV},
        "limits": {"qps": 0, "pacer": "process"},
        "retry": {"first_wait": "10ms", "max_wait": "50ms"},
        "output": {"dir": str(path.parent / "out"), "max_failed": "100%"},
    }
    for name, table in tables.items():
        merged.setdefault(name, {}).update(table)
    lines = []
    for name, values in merged.items():
        lines += [f"[{name}]", *(f"{key} = {orjson.dumps(value).decode()}" for key, value in values.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def load(path: Path, *sets: str) -> Config:
    """Load a config as the commands do."""
    return load_config(path, sets)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the records or failures of a file; every line must be whole."""
    content = path.read_bytes()
    assert not content or content.endswith(b"\n"), "torn line"
    return [orjson.loads(line) for line in content.splitlines()]


def run_once(config: Config) -> Report:
    """Do one row of a job, as `check --call` does."""
    return anyio.run(partial(run, config, limit=1, is_check=True))
