"""Classify error responses: five formats of error bodies, every code, and statuses without a body.

Source: Image Search reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pipeline.network.waits import wait_of_headers
from pipeline.providers.bing.shapes import Json
from pipeline.providers.bing.spoken_waits import wait_in_words
from pipeline.providers.error_words import kebab_case, without_reason
from pipeline.records import Answer, Problem, ProblemKind

MAX_URL_CHARS = 2048  # beyond it the service answers 404 (Image Search reference, Endpoints)
_MAX_TEXT_CHARS = 500  # kept of each text
_KEY_HEADER = "ocp-apim-subscription-key"

# Image Search reference, Error codes. The sub-code decides; without one the code does, and without that the status.
_SUB_CODES: dict[str, ProblemKind] = {
    "UnexpectedError": "transient",
    "ResourceError": "transient",
    "NotImplemented": "misconfigured",
    "ParameterMissing": "row",
    "ParameterInvalidValue": "row",
    "ParameterInvalid": "row",
    "HttpNotAllowed": "misconfigured",
    "Blocked": "row",
    "AuthorizationMissing": "refused",
    "AuthorizationRedundancy": "refused",
    "AuthorizationDisabled": "refused",
    "AuthorizationExpired": "refused",
}
_CODES: dict[str, ProblemKind] = {
    "ServerError": "transient",
    "InvalidRequest": "row",
    "RateLimitExceeded": "throttled",
    "InvalidAuthorization": "refused",
    "InsufficientAuthorization": "refused",
}
_STATUSES: dict[int, ProblemKind] = {
    401: "refused",
    402: "quota",
    403: "refused",
    404: "misconfigured",  # a wrong path; the only other documented reason is a URL that is too long
    405: "misconfigured",
    406: "misconfigured",
    407: "misconfigured",
    408: "transient",
    409: "transient",
    410: "misconfigured",
    421: "misconfigured",
    423: "transient",
    424: "transient",
    425: "transient",
    429: "throttled",
    499: "transient",
    501: "misconfigured",
    505: "misconfigured",
}
_STATUS_CLASSES: dict[int, ProblemKind] = {3: "misconfigured", 4: "row", 5: "transient"}
_IMPLIED_STATUS = {
    "InvalidRequest": 400,
    "InvalidAuthorization": 401,
    "InsufficientAuthorization": 403,
    "ServerError": 500,
}
# Parameters and headers that come from the config, unless the row has its own: if one is wrong, every row would fail.
_CONFIG_PARAMETERS = frozenset(
    {
        "mkt",
        "cc",
        "q",
        "site",
        "count",
        "content-type",
        "setlang",
        "safesearch",
        "modules",
        "accept",
        "accept-language",
        "pragma",
        "user-agent",
        "invokedskills",
        "enableentitydata",
        "x-msedge-clientip",
        "x-search-location",
    }
)
# What the service gave its client to send back. The fetcher forgets a refused one, and the retry gets another.
_CLIENT_ID = "x-msedge-clientid"
_QUOTA_MESSAGE = re.compile(
    r"call volume|quota will be replenished|per month|monthly|insufficient[_ ]quota|exceeded your current quota"
    r"|run out of (?:searches|credits|calls|requests)|out of credits",
    re.IGNORECASE,
)
_THROTTLE_MESSAGE = re.compile(
    r"throttl|too many requests|rate[ _-]?limit|slow down|try again in \d|requests per (?:second|minute)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBody:
    """The content of an error body, in whichever format it came; absent values are empty.

    `value` is the value of the `parameter` that was refused, `other_messages` are those of further errors in the body.
    """

    code: str = ""
    sub_code: str = ""
    message: str = ""
    more_details: str = ""
    parameter: str = ""
    value: str = ""
    other_messages: str = ""

    @property
    def full_message(self) -> str:
        """The message together with its details."""
        return " ".join(filter(None, (self.message, self.more_details)))


def is_error(document: Any) -> bool:
    """Return True if a body is an error, though it came with a success status."""
    if type(document) is not dict:
        return False
    return (
        document.get("_type") == "ErrorResponse"
        or not {"errors", "error", "statusCode"}.isdisjoint(document)
        or {"code", "message"} <= document.keys()
    )


def classify_error(answer: Answer, document: Any, *, is_from_row: Callable[[str], bool], url_chars: int) -> Problem:
    """Return the problem that an error response reports.

    `document` is the parsed body, `is_from_row` returns True for a parameter whose value the row gave and not the
    config, `url_chars` is the length of the request's URL.
    """
    error = read_error_body(document, answer.body)
    status = _effective_status(answer.status, error, document)
    kind, code = _classify(error, status, is_from_row)
    message = _problem_message(error, status)
    if status == HTTPStatus.NOT_FOUND and url_chars > MAX_URL_CHARS:
        kind, code = "row", "url-too-long"
    elif status == HTTPStatus.NOT_FOUND:
        kind, code, message = "misconfigured", "not-found", f"{message}; check the path of provider.endpoint"
    wait = wait_of_headers(answer.headers, answer.asked_at + answer.ms / 1000)
    if wait is None:
        wait = wait_in_words(error.full_message)
    if status == HTTPStatus.SERVICE_UNAVAILABLE and wait is not None:
        kind = "throttled"
    return Problem(
        kind=kind,
        code=code,
        message=message,
        http_status=answer.status,
        retry_after=wait,
        details=_problem_details(error, answer),
    )


def _classify(error: ErrorBody, status: int, is_from_row: Callable[[str], bool]) -> tuple[ProblemKind, str]:
    kind = (
        _SUB_CODES.get(error.sub_code)
        or _CODES.get(error.code)
        or _STATUSES.get(status)
        or _STATUS_CLASSES.get(status // 100, "transient")
    )
    code = kebab_case(error.sub_code) or kebab_case(error.code) or f"http-{status}"
    if kind == "quota" or (kind in {"throttled", "refused"} and _is_quota(error, status)):
        return "quota", "quota-used-up"
    if kind == "row" and not error.parameter and _THROTTLE_MESSAGE.search(f"{error.code} {error.full_message}"):
        return "throttled", code
    parameter = error.parameter.rpartition(".")[2].lower()
    if kind == "row" and parameter == _CLIENT_ID:
        return "transient", code
    if kind == "row" and parameter in _CONFIG_PARAMETERS and not is_from_row(parameter):
        return "misconfigured", code
    return kind, code


def _is_quota(error: ErrorBody, status: int) -> bool:
    """Return True if a quota of calls is used up: RateLimitExceeded with 403, or a gateway's message.

    Source: Image Search reference.

    A rate limit has 429 instead.
    """
    if error.code == "RateLimitExceeded" and status == HTTPStatus.FORBIDDEN:
        return True
    return _QUOTA_MESSAGE.search(f"{error.code} {error.sub_code} {error.full_message}") is not None


def read_error_body(document: Any, body: bytes) -> ErrorBody:
    """Read any of the five formats: errors[], error{}, code and message, a gateway's statusCode, plain text."""
    if type(document) is not dict:
        return ErrorBody(message=_plain_text(body))
    errors = document.get("errors")
    if type(errors) is list and errors:
        objects = [error for error in errors if type(error) is dict]
        other_messages = "; ".join(text for error in objects[1:] if (text := _text(error.get("message"))))
        return _error_object(objects[0], other_messages) if objects else ErrorBody(message=_text(errors[0]))
    error = document.get("error")
    if type(error) is dict:
        return _error_object(error)
    return _error_object({"message": error, **document} if type(error) is str else document)


def _error_object(source: Json, other_messages: str = "") -> ErrorBody:
    return ErrorBody(
        code=_text(source.get("code", source.get("statusCode"))),
        sub_code=_text(source.get("subCode")),
        message=_text(source.get("message")),
        more_details=_text(source.get("moreDetails")),
        parameter=_text(source.get("parameter")),
        value=_text(source.get("value")),
        other_messages=other_messages[:_MAX_TEXT_CHARS],
    )


def _text(value: Any) -> str:
    if type(value) is str:
        return value[:_MAX_TEXT_CHARS]
    return str(value) if type(value) in (int, float) else ""


def _plain_text(body: bytes) -> str:
    """Return the text of a body that is a sentence; HTML and cut-off JSON would only fill the log."""
    text = " ".join(body[:_MAX_TEXT_CHARS].decode(errors="replace").split())
    return "" if text[:1] in "<{[" else text


def _effective_status(status: int, error: ErrorBody, document: Any) -> int:
    """Return the response's status, or if that is a success, the status that its body stands for."""
    if not 200 <= status < 300:
        return status
    body_status = str(document.get("statusCode", error.code) if type(document) is dict else error.code)
    if len(body_status) == 3 and body_status.isdecimal() and 300 <= int(body_status) < 600:
        return int(body_status)
    return _IMPLIED_STATUS.get(error.code, status)


def _problem_message(error: ErrorBody, status: int) -> str:
    message = error.full_message
    if not message:
        message = without_reason(status)
    return f"{message} (parameter {error.parameter})" if error.parameter else message


def _problem_details(error: ErrorBody, answer: Answer) -> dict[str, str]:
    details = {
        "code": error.code,
        "sub_code": error.sub_code,
        "parameter": error.parameter,
        "value": "" if error.parameter.lower() == _KEY_HEADER else error.value,  # never show the key
        "more": error.more_details,
        "also": error.other_messages,
        **trace_details(answer),
    }
    return {name: value for name, value in details.items() if value}


def trace_details(answer: Answer) -> dict[str, str]:
    """Return the trace id, by which the service's support identifies the call, or an empty dict."""
    trace_id = answer.headers.get("bingapis-traceid") or answer.headers.get("apim-request-id")
    return {"trace_id": trace_id} if trace_id else {}
