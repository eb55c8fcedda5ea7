"""Rows, failures and finished lines for the tests of the sink."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.records import Answer, Failure, LocalFile, Row
from pipeline.resume.changes import row_key
from pipeline.sink.sink import Finished
from pipeline.state.ledger import Entry, Ledger, State


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "state.db")) as opened:
        yield opened


def make_row(row_id: str, line: int = 1, path: Path | None = None, **other: object) -> Row:
    """Return a row of a local picture."""
    image = LocalFile(path=str(path or Path("/nowhere") / row_id), name=row_id)
    return Row(id=row_id, image=image, ordinal=line - 1, line=line, **other)  # type: ignore[arg-type] # literals of the tests


def make_failure(line: int, code: str = "bad-line", row_id: str | None = None, *, retryable: bool = False) -> Failure:
    """Return a failure of the manifest's stage."""
    return Failure(
        id=row_id,
        line=line,
        ordinal=line - 1,
        image=None,
        stage="manifest",
        code=code,
        message=f"{code} in {line}",
        retryable=retryable,
    )


def make_answer(body: bytes = b"{}", asked_at: float = 100.0) -> Answer:
    """Return a stored or fresh answer."""
    return Answer(status=200, headers={"date": "x"}, body=body, asked_at=asked_at)


def finished(row_id: str, text: str = "", state: State = State.DONE, code: str = "") -> Finished:
    """Return a row that has its line."""
    entry = Entry(key=row_key(row_id), state=state, digest=b"d" * 16, asked_at=5.0, code=code)
    return Finished(entry=entry, line=f'{{"id":"{row_id}","text":"{text}"}}\n'.encode())
