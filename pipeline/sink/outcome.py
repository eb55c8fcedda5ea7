"""How a row ends: as a record or as a failure, with the ledger's entry that goes with it."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import PrepareError, RowError, SourceError
from pipeline.records import Answer, Failure, Problem, Row, Stage, image_name
from pipeline.resume.changes import PendingRow
from pipeline.schema import Record
from pipeline.sink.record import encode, encode_failure
from pipeline.sink.sink import Finished
from pipeline.state.ledger import Entry, State

_OK = 200


def record_row(
    pending_row: PendingRow, record: Record, asked_at: float, question: bytes, prints: Sequence[bytes]
) -> Finished:
    """Return a row that has its record; `asked_at` is the Unix time of its oldest answer."""
    entry = Entry(
        key=pending_row.key,
        state=State.DONE,
        digest=pending_row.digest,
        line=pending_row.item.line,
        span=pending_row.span,
        stamp=pending_row.stamp,
        question=question,
        asked_at=asked_at,
        prints=b"".join(prints),
    )
    return Finished(entry=entry, line=encode(record))


def failed_row(pending_row: PendingRow, failure: Failure, at: float, prints: Sequence[bytes] = ()) -> Finished:
    """Return a row that has failed, at Unix time `at`."""
    entry = Entry(
        key=pending_row.key,
        state=State.RETRYABLE if failure.retryable else State.FAILED,
        digest=pending_row.digest,
        line=pending_row.item.line,
        span=pending_row.span,
        stamp=pending_row.stamp,
        asked_at=at,
        code=failure.code,
        prints=b"".join(prints),
    )
    return Finished(entry=entry, line=encode_failure(failure, at))


def row_failure(row: Row, error: RowError) -> Failure:
    """Return the failure of a row that never got as far as a call."""
    return Failure(
        id=row.id,
        line=row.line,
        ordinal=row.ordinal,
        image=image_name(row.image),
        stage=_stage(error),
        code=error.code,
        message=str(error),
        retryable=error.retryable,
    )


def problem_failure(row: Row, problem: Problem, answers: Sequence[Answer]) -> Failure:
    """Return the failure of a row whose last answer is a problem: a fault is tried again, a verdict is not."""
    return Failure(
        id=row.id,
        line=row.line,
        ordinal=row.ordinal,
        image=image_name(row.image),
        stage="read" if problem.http_status == _OK else "fetch",
        code=problem.code,
        message=problem.message,
        http_status=problem.http_status,
        attempts=sum(answer.attempts for answer in answers if not answer.from_store),
        retryable=problem.kind != "row",
        details=problem.details,
    )


def _stage(error: RowError) -> Stage:
    """Return the stage an error belongs to; a row that breaks a rule of the service is the manifest's."""
    if isinstance(error, SourceError):
        return "source"
    return "prepare" if isinstance(error, PrepareError) else "manifest"
