"""Jobs for tests of what comes after a run: records made on the spot, written by the real sink."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from pipeline.records import Failure
from pipeline.resume.keys import item_key, row_key
from pipeline.schema import Record, no_insights
from pipeline.sink.job_files import open_job
from pipeline.sink.output_lines import encode_failure
from pipeline.sink.sink import Finished, write_batch
from pipeline.state.ledger import LedgerEntry, State
from tests.rows import make_failure


def make_record(row_id: str, ordinal: int = 0, **insights: Any) -> Record:
    """Return a whole record; `insights` are fields of it."""
    record: dict[str, Any] = {
        "schema": "1",
        "id": row_id,
        "ordinal": ordinal,
        "status": "ok",
        "provider": "local",
        "asked_at": "2026-11-30T16:34:04Z",
        "carry": {},
        "source": {"path": f"{row_id}.jpg", "sha256": "0" * 64, "width": 640, "height": 480},
        "sent": {"form": "bytes", "action": "passed"},
        "calls": {"count": 1, "attempts": 1, "ms": 5.0, "trace_ids": ["a", "b"], "from_store": False},
        **no_insights(),
        **insights,
    }
    return record  # type: ignore[return-value] # built by name


def finished_record(record: Record, content_key: bytes = b"d" * 16) -> Finished:
    """Return a record as the sink takes it; its line in the manifest is its ordinal."""
    entry = LedgerEntry(
        row_key=row_key(record["id"]),
        state=State.DONE,
        content_key=content_key,
        line=record["ordinal"] + 1,
        ordinal=record["ordinal"],
        asked_at=5.0,
    )
    return Finished(entry=entry, line=orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def finished_failure(failure: Failure) -> Finished:
    """Return a failed row as the sink takes it."""
    entry = LedgerEntry(
        row_key=item_key(failure),
        state=State.FAILED,
        content_key=b"d" * 16,
        line=failure.line,
        ordinal=failure.ordinal,
        code=failure.code,
    )
    return Finished(entry=entry, line=encode_failure(failure, 5.0))


def failure_of(row_id: str, ordinal: int, code: str = "truncated") -> Failure:
    """Return the failure of a row with an id."""
    return replace(make_failure(ordinal + 1, code, row_id), stage="prepare")


def write_job(folder: Path, items: Sequence[Record | Failure]) -> None:
    """Write records and failures of a job in one batch."""
    with open_job(folder) as job:
        write_batch(job, [finished_failure(i) if isinstance(i, Failure) else finished_record(i) for i in items])
