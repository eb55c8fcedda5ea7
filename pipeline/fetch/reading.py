"""Reading an answer so that a reader's fault costs one row, and no answer that was paid for."""

from __future__ import annotations

from pipeline.providers.base import AnswerReader
from pipeline.records import Answer, Outcome, Problem, Request


def read_outcome(reader: AnswerReader, request: Request, answer: Answer) -> Outcome:
    """Return what an answer says; a reader that breaks its word and raises makes it an unreadable answer."""
    try:
        return reader.read(request, answer)
    except Exception as exc:
        return unreadable("unreadable-answer", f"the answer can't be read ({type(exc).__name__}: {exc})", answer)


def unreadable(code: str, message: str, answer: Answer) -> Problem:
    """Return the problem of an answer that is kept and not paid for again: a later reader may understand it."""
    return Problem(kind="unreadable", code=code, message=message, http_status=answer.status)
