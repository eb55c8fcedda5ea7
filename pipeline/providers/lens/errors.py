"""What errors mean, by their text first: a refusal may come with any status, even with 200. Pure.

Sources: serpapi.com/api-status-and-error-codes, and answers that users reported.
"""

from __future__ import annotations

import re
from typing import Any, Final

from pipeline.network.waits import wait_of_headers
from pipeline.providers.json_body import is_damaged_json
from pipeline.providers.lens.account import LOOK_AGAIN
from pipeline.records import Answer, Problem, ProblemKind

_NO_RESULTS: Final = re.compile(r"\b(hasn't|has not|didn't|did not) return(ed)? any results\b", re.IGNORECASE)
# The first that fits decides.
_BY_TEXT: Final[tuple[tuple[str, ProblemKind, str], ...]] = (
    (r"run out of searches|searches for the month", "quota", "out-of-searches"),
    (r"throughput|too fast|too many requests|rate limit", "throttled", "hourly-limit"),
    (r"\bapi[ _]key\b|\baccount\b", "refused", "key-refused"),
    (r"`url`", "row", "image-refused"),
    (r"\b(unsupported|missing|invalid)\b.*(`|parameter)", "misconfigured", "parameter-refused"),
    (r"try again", "transient", "search-failed"),
    (r"\b(image|url)\b", "row", "image-refused"),
)
_BY_STATUS: Final[dict[int, tuple[ProblemKind, str]]] = {
    200: ("transient", "search-failed"),
    400: ("misconfigured", "parameter-refused"),
    401: ("refused", "key-refused"),
    403: ("refused", "key-refused"),
    408: ("transient", "http-408"),
    410: ("transient", "http-410"),
    425: ("transient", "http-425"),
    429: ("throttled", "hourly-limit"),
}


def says_no_results(error: str) -> bool:
    """Return True for the error that is none: the search was made, and nothing was there."""
    return _NO_RESULTS.search(error) is not None


def classify_error(answer: Answer, error: str) -> Problem:
    """Return the problem of an answer that has an error, or another status than 200."""
    kind, code = _classified(answer.status, error)
    wait = wait_of_headers(answer.headers, answer.asked_at) or LOOK_AGAIN if kind == "throttled" else None
    message = error or f"the service answered with status {answer.status}"
    return _problem(kind, code, message, answer, wait)


def _classified(status: int, error: str) -> tuple[ProblemKind, str]:
    """Return what an error means: the text says it where the service itself is well."""
    if status >= 500:
        return "transient", f"http-{status}"
    for pattern, kind, code in _BY_TEXT:
        if re.search(pattern, error, re.IGNORECASE):
            return kind, code
    return _BY_STATUS.get(status, ("misconfigured", f"http-{status}"))


def unfinished(answer: Answer) -> Problem:
    """Return the problem of a search that the service still works at."""
    return _problem("transient", "search-unfinished", "the service has not finished this search", answer)


def unreadable(answer: Answer, document: Any) -> Problem:
    """Return the problem of a 200 that is no answer to a search."""
    if not answer.body.strip():
        return _problem("transient", "empty-body", "the service sent an empty body", answer)
    if is_damaged_json(answer.body):
        return _problem("unreadable", "not-json", "the response begins like JSON, but can't be read", answer)
    if document is None:
        return _problem("transient", "not-json", "the response is not JSON, or it is cut off", answer)
    message = "the response is JSON, but not a response to this request"
    return _problem("transient", "unexpected-answer", message, answer)


def _problem(kind: ProblemKind, code: str, message: str, answer: Answer, wait: float | None = None) -> Problem:
    return Problem(kind=kind, code=code, message=message, http_status=answer.status, retry_after=wait)
