"""How a row ends: as a record or as a failure, with its entry in the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import PrepareError, RowError, SourceError
from pipeline.records import Answer, Failure, Problem, Row, Stage, image_name
from pipeline.resume.changes import PendingRow
from pipeline.schema import Record
from pipeline.sink.output_lines import encode, encode_failure
from pipeline.sink.sink import Finished
from pipeline.state.ledger import LedgerEntry, State

_OK = 200


def record_row(
    pending_row: PendingRow,
    record: Record,
    asked_at: float,
    cache_key: bytes,
    fingerprints: Sequence[bytes],
    thumbnail: bytes = b"",
) -> Finished:
    """Return a row that has its record; `asked_at` is the Unix time of its oldest answer."""
    entry = LedgerEntry(
        row_key=pending_row.row_key,
        state=State.DONE,
        content_key=pending_row.content_key,
        line=pending_row.item.line,
        ordinal=pending_row.item.ordinal,
        checkpoint=pending_row.checkpoint,
        file_stamp=pending_row.file_stamp,
        cache_key=cache_key,
        asked_at=asked_at,
        fingerprints=b"".join(fingerprints),
    )
    return Finished(entry=entry, line=encode(record), thumbnail=thumbnail)


def failed_row(
    pending_row: PendingRow,
    failure: Failure,
    at: float,
    fingerprints: Sequence[bytes] = (),
    thumbnail: bytes = b"",
) -> Finished:
    """Return a row that has failed, at Unix time `at`."""
    entry = LedgerEntry(
        row_key=pending_row.row_key,
        state=State.RETRYABLE if failure.retryable else State.FAILED,
        content_key=pending_row.content_key,
        line=pending_row.item.line,
        ordinal=pending_row.item.ordinal,
        checkpoint=pending_row.checkpoint,
        file_stamp=pending_row.file_stamp,
        asked_at=at,
        code=failure.code,
        fingerprints=b"".join(fingerprints),
    )
    return Finished(entry=entry, line=encode_failure(failure, at), thumbnail=thumbnail)


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
