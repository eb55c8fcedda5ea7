"""Jobs with made records and failures, for the tests and the benchmark of the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from pipeline.resume.keys import row_key
from pipeline.schema import no_insights
from pipeline.sink.job_files import open_job
from pipeline.sink.sink import Finished, write_batch
from pipeline.state.ledger import LedgerEntry, State
from tests.running import draw, write_config, write_manifest

_BATCH = 1000
PICTURES = 50


def rectangle(left: float, top: float, right: float, bottom: float) -> list[dict[str, float]]:
    """Return a box with upright sides in the form of a record."""
    return [{"x": x, "y": y} for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))]


def make_record(number: int, **fields: object) -> dict[str, Any]:
    """Return the record of row `number` without insights, but for `fields`."""
    record: dict[str, Any] = {
        "schema": "1",
        "id": f"row-{number:06}",
        "status": "ok",
        "provider": "local",
        "asked_at": "2026-11-30T02:00:00Z",
        "carry": {},
        "source": {
            "path": f"images/{number % PICTURES}.png",
            "sha256": f"{number:064x}",
            "width": 800,
            "height": 600,
            "bytes": 9000 + number,
            "format": "JPEG",
        },
        "sent": {"form": "bytes", "action": "passed"},
        "calls": {"count": 1, "attempts": 1, "ms": 10.0, "trace_ids": [], "from_store": False},
    }
    return {**record, **no_insights(), **fields}


def make_failure(number: int, **fields: object) -> dict[str, Any]:
    """Return the failure of row `number`."""
    failure: dict[str, Any] = {
        "schema": "1",
        "id": f"row-{number:06}",
        "line": number + 2,
        "ordinal": number,
        "image": f"images/{number % PICTURES}.png",
        "stage": "prepare",
        "code": "truncated",
        "message": "the picture is cut off",
        "attempts": 0,
        "retryable": False,
        "at": "2026-11-30T02:00:00Z",
    }
    return {**failure, **fields}


def write_job(folder: Path, lines: Iterable[dict[str, Any]]) -> Path:
    """Write the files of a job whose rows have these records and failures, in their order; return its config."""
    for number in range(PICTURES):
        draw(folder / "images" / f"{number}.png", number, size=(320, 240))
    row = {"id": "row-000000", "image": "images/0.png", "title": "", "category": ""}
    manifest = write_manifest(folder / "rows.csv", [row])
    config = write_config(
        folder / "job.toml", manifest, "http://127.0.0.1:9", manifest={"carry": ["title", "category"]}
    )
    numbered = enumerate(lines)
    with open_job(folder / "out") as job:
        while batch := list(_finished(islice(numbered, _BATCH))):
            write_batch(job, batch)
    return config


def _finished(lines: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[Finished]:
    for number, content in lines:
        state = State.FAILED if "code" in content else State.DONE
        entry = LedgerEntry(row_key=row_key(content["id"]), state=state, content_key=b"", line=number + 2)
        yield Finished(entry=entry, line=orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE))
