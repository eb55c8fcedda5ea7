"""What errors mean: of a whole call by its status, of one picture inside a 200 by its google.rpc.Code. Pure.

Sources: Vision discovery document (Status), google.rpc (Code, ErrorInfo, RetryInfo), and answers that users reported.
"""

from __future__ import annotations

from typing import Any, Final

from pipeline.network.waits import parse_wait, wait_of_headers
from pipeline.providers.collector import Json, as_list, as_object
from pipeline.providers.json_body import is_damaged_json
from pipeline.records import Answer, Problem, ProblemKind, Request

_CODES: Final = (
    "ok", "cancelled", "unknown", "invalid-argument", "deadline-exceeded", "not-found", "already-exists",
    "permission-denied", "resource-exhausted", "failed-precondition", "aborted", "out-of-range", "unimplemented",
    "internal", "unavailable", "data-loss", "unauthenticated",
)  # fmt: skip
_KINDS_BY_CODE: Final[dict[str, ProblemKind]] = {
    "invalid-argument": "row",
    "out-of-range": "row",
    "failed-precondition": "row",
    "not-found": "misconfigured",
    "permission-denied": "misconfigured",
    "unimplemented": "misconfigured",
    "unauthenticated": "refused",
    "resource-exhausted": "throttled",
}
# The service could not load the URL, at random even; its own message says to send the bytes.
_NOT_LOADED: Final = frozenset({"unavailable", "permission-denied", "internal"})
_KEY_REASONS: Final = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})
_TOO_LARGE: Final = "payload size exceeds"
_MINUTE: Final = 60.0


def classify_error(answer: Answer, error: Json, request: Request) -> Problem:
    """Return the problem of one picture: a status inside a response that has nothing else."""
    number, message = error.get("code"), _text(error.get("message")) or "the service gave no reason"
    code = _CODES[number] if type(number) is int and 0 < number < len(_CODES) else "unknown"
    details = {"code": str(number), **_more(error)}
    if request.form == "url" and (code in _NOT_LOADED or "URL" in message):
        return _problem("row", code, message, answer, details, needs_bytes=True)
    kind = _KINDS_BY_CODE.get(code, "transient")
    return _problem(kind, code, message, answer, details, wait=_wait(answer, error) if kind == "throttled" else None)


def classify_status(answer: Answer, document: Any, request: Request) -> Problem:
    """Return the problem of a whole call."""
    error = as_object(as_object(document).get("error"))
    status, reason = _text(error.get("status")), _reason(error)
    message = _text(error.get("message")) or f"the service answered with status {answer.status}"
    code = (reason or status or f"http-{answer.status}").lower().replace("_", "-")
    details = {"code": status, **_more(error)} if status else _more(error)
    kind = _kind(answer.status, reason, message, error)
    if kind == "misconfigured" and answer.status == 400 and request.form == "url":
        return _problem("row", code, message, answer, details, needs_bytes=True)
    wait = _wait(answer, error) if kind == "throttled" else None
    return _problem(kind, code, message, answer, details, wait=wait)


def unreadable(answer: Answer, document: Any, request: Request) -> Problem:
    """Return the problem of a 200 that answers no picture; it may report an error of the whole call all the same."""
    if error := as_object(as_object(document).get("error")):
        return classify_error(answer, error, request)
    if not answer.body.strip():
        return _problem("transient", "empty-body", "the service sent an empty body", answer, {})
    if is_damaged_json(answer.body):
        return _problem("unreadable", "not-json", "the response begins like JSON, but can't be read", answer, {})
    if document is None:
        return _problem("transient", "not-json", "the response is not JSON, or it is cut off", answer, {})
    message = "the response is JSON, but not a response to this request"
    return _problem("transient", "unexpected-answer", message, answer, {})


def _kind(status: int, reason: str, message: str, error: Json) -> ProblemKind:
    """Classify a status; a wrong key is a 400 here."""
    if status == 413 or _TOO_LARGE in message:
        return "row"
    if status in (401, 403) or reason in _KEY_REASONS or (status == 400 and "API key" in message):
        return "refused"
    if status == 429:
        return "quota" if _is_daily(message, error) else "throttled"
    if status >= 500 or status in (408, 409, 425, 499):
        return "transient"
    return "misconfigured"


def _is_daily(message: str, error: Json) -> bool:
    """Return True for a quota of a day: waiting for the next minute would not help."""
    limits = [_text(info.get("quota_limit")) for info in _metadata(error)]
    return any("perday" in text.lower().replace(" ", "") for text in (message, *limits))


def _wait(answer: Answer, error: Json) -> float:
    """Return how long to wait: as the error or a header says, else until the next minute, when quotas are renewed."""
    for detail in _details(error):
        if _text(detail.get("@type")).endswith("google.rpc.RetryInfo"):
            wait = parse_wait(_text(detail.get("retryDelay")), answer.asked_at)
            if wait:
                return wait
    return wait_of_headers(answer.headers, answer.asked_at) or _MINUTE - answer.asked_at % _MINUTE


def _reason(error: Json) -> str:
    return next((reason for detail in _details(error) if (reason := _text(detail.get("reason")))), "")


def _details(error: Json) -> list[Json]:
    return [detail for detail in as_list(error.get("details")) if type(detail) is dict]


def _metadata(error: Json) -> list[Json]:
    return [metadata for detail in _details(error) if type(metadata := detail.get("metadata")) is dict]


def _more(error: Json) -> dict[str, str]:
    """Return what ErrorInfo says beyond its reason: the quota, the service, the project that lacks something."""
    more = "; ".join(f"{name}: {value}" for metadata in _metadata(error) for name, value in metadata.items())
    return {"more": more} if more else {}


def _text(value: Any) -> str:
    return value if type(value) is str else ""


def _problem(
    kind: ProblemKind,
    code: str,
    message: str,
    answer: Answer,
    details: dict[str, str],
    *,
    wait: float | None = None,
    needs_bytes: bool = False,
) -> Problem:
    return Problem(
        kind=kind,
        code=code,
        message=message,
        http_status=answer.status,
        retry_after=wait,
        details=details,
        needs_bytes=needs_bytes,
    )
