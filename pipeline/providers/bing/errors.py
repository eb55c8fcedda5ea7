"""Classify answers that are no success: five shapes of error bodies, every code of reference 004, and bare statuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pipeline.providers.bing.shapes import Json
from pipeline.providers.bing.waits import wait_in_words
from pipeline.providers.waits import wait_of_headers
from pipeline.records import Answer, Problem, ProblemKind

MAX_URL_CHARS = 2048  # beyond it the service answers 404 (reference 004, Endpoints)
_MAX_TEXT = 500
_KEY_HEADER = "ocp-apim-subscription-key"

# Reference 004, Error codes: the sub-code decides, then the code, then the status.
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
    403: "refused",
    404: "misconfigured",  # a wrong path: the documents know no other reason but a URL that is too long
    405: "misconfigured",
    406: "misconfigured",
    407: "misconfigured",
    408: "transient",
    410: "misconfigured",
    421: "misconfigured",
    425: "transient",
    429: "throttled",
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
# Parameters and headers that come from the config alone, so that every row would fail alike.
_SETTINGS = frozenset(
    {
        "mkt",
        "cc",
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
_OUT_OF_QUOTA = re.compile(r"call volume|quota will be replenished|per month|monthly", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What an error body says, whichever shape it has; empty where it says nothing."""

    code: str = ""
    sub_code: str = ""
    message: str = ""
    more: str = ""
    parameter: str = ""
    value: str = ""
    also: str = ""


def is_error(document: Any) -> bool:
    """Tell whether a body that came with a success status is an error all the same."""
    if type(document) is not dict:
        return False
    return (
        document.get("_type") == "ErrorResponse"
        or not {"errors", "error", "statusCode"}.isdisjoint(document)
        or {"code", "message"} <= document.keys()
    )


def answer_problem(answer: Answer, document: Any, *, is_from_row: Callable[[str], bool], url_chars: int) -> Problem:
    """Classify a refusal. `is_from_row` tells whether a parameter's value came from the row and not from the config."""
    fault = read_fault(document, answer.body)
    status = _effective_status(answer.status, fault, document)
    kind, code = _classify(fault, status, is_from_row)
    said = _sentence(fault, status)
    if status == HTTPStatus.NOT_FOUND and url_chars > MAX_URL_CHARS:
        kind, code = "row", "url-too-long"
    elif status == HTTPStatus.NOT_FOUND:
        kind, code, said = "misconfigured", "not-found", f"{said}; check the path of provider.endpoint"
    wait = wait_of_headers(answer.headers, answer.asked_at + answer.ms / 1000)
    if wait is None:
        wait = wait_in_words(f"{fault.message} {fault.more}")
    if status == HTTPStatus.SERVICE_UNAVAILABLE and wait is not None:
        kind = "throttled"
    return Problem(
        kind=kind,
        code=code,
        message=said,
        http_status=answer.status,
        retry_after=wait,
        details=_details(fault, answer),
    )


def _classify(fault: Fault, status: int, is_from_row: Callable[[str], bool]) -> tuple[ProblemKind, str]:
    kind = (
        _SUB_CODES.get(fault.sub_code)
        or _CODES.get(fault.code)
        or _STATUSES.get(status)
        or _STATUS_CLASSES.get(status // 100, "transient")
    )
    code = kebab(fault.sub_code) or kebab(fault.code) or f"http-{status}"
    if kind in {"throttled", "refused"} and _is_quota(fault, status):
        return "quota", "quota-used-up"
    parameter = fault.parameter.rpartition(".")[2].lower()
    if kind == "row" and parameter in _SETTINGS and not is_from_row(parameter):
        return "misconfigured", code
    return kind, code


def _is_quota(fault: Fault, status: int) -> bool:
    """Tell a quota of calls from a rate: 403 where the rate would be 429 (reference 004), or a gateway's sentence."""
    if fault.code == "RateLimitExceeded" and status == HTTPStatus.FORBIDDEN:
        return True
    return _OUT_OF_QUOTA.search(f"{fault.message} {fault.more}") is not None


def read_fault(document: Any, body: bytes) -> Fault:
    """Read any of the five shapes: errors[], error{}, flat code, a gateway's statusCode, text or nothing."""
    if type(document) is not dict:
        return Fault(message=_plain_text(body))
    errors = document.get("errors")
    if type(errors) is list and errors:
        found = [error for error in errors if type(error) is dict]
        also = "; ".join(text for error in found[1:] if (text := _text(error.get("message"))))
        return _fault(found[0], also=also) if found else Fault(message=_text(errors[0]))
    error = document.get("error")
    if type(error) is dict:
        return _fault(error)
    return _fault({"message": error, **document} if type(error) is str else document)


def _fault(source: Json, also: str = "") -> Fault:
    return Fault(
        code=_text(source.get("code", source.get("statusCode"))),
        sub_code=_text(source.get("subCode")),
        message=_text(source.get("message")),
        more=_text(source.get("moreDetails")),
        parameter=_text(source.get("parameter")),
        value=_text(source.get("value")),
        also=also[:_MAX_TEXT],
    )


def _text(value: Any) -> str:
    if type(value) is str:
        return value[:_MAX_TEXT]
    return str(value) if type(value) in (int, float) else ""


def _plain_text(body: bytes) -> str:
    """Return a body that is a sentence; a page of HTML says nothing that a log should repeat."""
    text = " ".join(body[:_MAX_TEXT].decode(errors="replace").split())
    return "" if text[:1] in "<{[" else text


def _effective_status(status: int, fault: Fault, document: Any) -> int:
    """Return the status that the body stands for where the answer's own says success."""
    if not 200 <= status < 300:
        return status
    claimed = document.get("statusCode", fault.code) if type(document) is dict else fault.code
    number = str(claimed)
    if len(number) == 3 and number.isdecimal() and 300 <= int(number) < 600:
        return int(number)
    return _IMPLIED_STATUS.get(fault.code, status)


def _sentence(fault: Fault, status: int) -> str:
    said = " ".join(part for part in (fault.message, fault.more) if part)
    if not said:
        phrase = next((known.phrase for known in HTTPStatus if known == status), "no known status")
        said = f"the service answered {status} ({phrase}) and gave no reason"
    return f"{said} (parameter {fault.parameter})" if fault.parameter else said


def _details(fault: Fault, answer: Answer) -> dict[str, str]:
    found = {
        "code": fault.code,
        "sub_code": fault.sub_code,
        "parameter": fault.parameter,
        "value": "" if fault.parameter.lower() == _KEY_HEADER else fault.value,  # it would be the key
        "more": fault.more,
        "also": fault.also,
        **trace(answer),
    }
    return {name: value for name, value in found.items() if value}


def trace(answer: Answer) -> dict[str, str]:
    """Return the id under which the service's support finds the call."""
    found = answer.headers.get("bingapis-traceid") or answer.headers.get("apim-request-id")
    return {"trace_id": found} if found else {}


def kebab(name: str) -> str:
    """Write ParameterInvalidValue as parameter-invalid-value; whatever is no name gives an empty text."""
    if not re.fullmatch(r"[A-Za-z]{2,60}", name):
        return ""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
