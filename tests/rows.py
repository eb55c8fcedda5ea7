"""Rows, failures, answers and finished lines for the tests of the state, of change detection and of the sink."""

from __future__ import annotations

from pathlib import Path

from pipeline.records import Answer, Failure, LocalFile, Request, Row, Usage
from pipeline.resume.keys import row_key
from pipeline.sink.sink import Finished, Paid
from pipeline.state.ledger import LedgerEntry, State

REQUEST = Request(method="POST", target="/x", form="bytes", body=b"picture")


class Provider:
    """Who answers in these tests; the trace id of a call is in a header."""

    name = "test"

    def trace_id(self, answer: Answer) -> str | None:
        """Return the id of a call."""
        return answer.headers.get("trace")

    def usage(self, _request: Request, _answer: Answer) -> Usage:
        """Say nothing of what a call used."""
        return Usage()


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


def make_answer(body: bytes = b"{}", asked_at: float = 100.0, **headers: str) -> Answer:
    """Return a stored or fresh answer."""
    return Answer(status=200, headers={"date": "x", **headers}, body=body, asked_at=asked_at)


def entry(key: bytes, state: State = State.DONE, offset: int = 0, length: int = 10, **other: object) -> LedgerEntry:
    """Return a row's entry in the ledger."""
    return LedgerEntry(row_key=key, state=state, content_key=b"d" * 16, offset=offset, length=length, **other)  # type: ignore[arg-type] # literals of the tests


def finished(row_id: str, text: str = "", state: State = State.DONE, code: str = "") -> Finished:
    """Return a row that has its line."""
    written = LedgerEntry(row_key=row_key(row_id), state=state, content_key=b"d" * 16, asked_at=5.0, code=code)
    return Finished(entry=written, line=f'{{"id":"{row_id}","text":"{text}"}}\n'.encode())


def paid(number: int = 1) -> Paid:
    """Return an answer that was paid for, under a fingerprint of its own."""
    return Paid(fingerprint=number.to_bytes(32, "big"), request=REQUEST, answer=make_answer())
