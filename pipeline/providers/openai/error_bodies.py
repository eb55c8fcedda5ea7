"""Classify what a service says instead of an answer: errors nested and flat, with words and with numbers as codes.

Sources: OpenAI's guide to error codes, and what Azure, OpenRouter, vLLM, llama.cpp, Ollama and LM Studio send.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from pipeline.providers.error_words import kebab_case, without_reason
from pipeline.providers.openai.chat import OTHER_NAME, PLAIN_JSON
from pipeline.providers.openai.rate_limits import is_out_of_tokens, wait_of
from pipeline.records import Answer, Problem, ProblemKind

_MAX_TEXT_CHARS: Final = 500  # kept of each text
_QUOTA: Final = frozenset({
    "insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached", "billing_not_active",
    "quota_exceeded", "insufficient_credits",
})  # fmt: skip
_BLOCKED: Final = frozenset({
    "content_policy_violation", "content_filter", "responsibleaipolicyviolation", "moderation_blocked",
})  # fmt: skip
_KINDS: Final[Mapping[str, ProblemKind]] = {
    "invalid_api_key": "refused",
    "authentication_error": "refused",
    "permission_error": "refused",
    "unsupported_country_region_territory": "refused",
    "rate_limit_exceeded": "throttled",
    "rate_limit_error": "throttled",
    "slow_down": "throttled",
    "model_not_found": "misconfigured",
    "unsupported_parameter": "misconfigured",
    "unsupported_value": "misconfigured",
    "unknown_parameter": "misconfigured",
    "context_length_exceeded": "row",
    "server_error": "transient",
    "server_is_overloaded": "transient",
    "overloaded_error": "transient",
}
_STATUSES: Final[Mapping[int, ProblemKind]] = {
    401: "refused",
    402: "quota",
    403: "refused",
    404: "misconfigured",
    405: "misconfigured",
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
_CLASSES: Final[Mapping[int, ProblemKind]] = {3: "misconfigured", 4: "row", 5: "transient"}
_TOKENS: Final = re.compile(r"tokens? per|token rate|\btpm\b", re.IGNORECASE)
_NO_SCHEMA: Final = re.compile(r"response_format|json_schema|structured.?output", re.IGNORECASE)
_BAD_SCHEMA: Final = re.compile(r"invalid schema|schema is (invalid|not valid)", re.IGNORECASE)
_NO_PICTURES: Final = re.compile(
    r"image\w* (input )?(is|are) (only supported by|not supported)|does(n't| not) support image|not a multimodal model"
    r"|no endpoints found that support image",
    re.IGNORECASE,
)
_UNKNOWN: Final = re.compile(
    r"extra inputs are not permitted|extra_forbidden|unrecognized request argument", re.IGNORECASE
)
_LIMIT_NAME: Final = re.compile(r"max(_completion)?_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBody:
    """What an error says; absent values are empty. `number` is a code that is a status, 0 where it is none."""

    code: str = ""
    type: str = ""
    message: str = ""
    param: str = ""
    inner: str = ""
    number: int = 0

    @property
    def words(self) -> frozenset[str]:
        """The words by which services name what is wrong."""
        return frozenset(filter(None, (self.code.lower(), self.type.lower(), self.inner.lower())))

    @property
    def text(self) -> str:
        """All that it says."""
        return " ".join((self.code, self.type, self.param, self.message))


def error_of(document: Any) -> ErrorBody | None:
    """Return the error that a body holds, whatever its status; None where it holds none."""
    if type(document) is not dict:
        return None
    error = document.get("error")
    if type(error) is str and error:
        return ErrorBody(message=_text(error), code=_text(document.get("code")))
    if type(error) is dict:
        return _read(error)
    if document.get("object") == "error" or {"code", "message"} <= document.keys():
        return _read(document)
    return _read({"message": document["detail"]}) if "detail" in document else _of_choice(document)


def _of_choice(document: Mapping[str, Any]) -> ErrorBody | None:
    """Return the error of an answer that broke off, which OpenRouter puts into its first choice."""
    choices = document.get("choices")
    first = choices[0] if type(choices) is list and choices else None
    error = first.get("error") if type(first) is dict else None
    return _read(error) if type(error) is dict else None


def _read(error: Mapping[str, Any]) -> ErrorBody:
    code, inner, metadata = error.get("code"), error.get("innererror"), error.get("metadata")
    number = code if type(code) is int else int(code) if type(code) is str and code.isdecimal() else 0
    flagged = type(metadata) is dict and "flagged_input" in metadata  # OpenRouter's moderation
    return ErrorBody(
        code="" if number else _text(code),
        type=_text(error.get("type")),
        message=_text(error.get("message")),
        param=_text(error.get("param")),
        inner="content_filter" if flagged else _text(inner.get("code")) if type(inner) is dict else "",
        number=number if 300 <= number < 600 else 0,
    )


def _text(value: Any) -> str:
    if type(value) is str:
        return value[:_MAX_TEXT_CHARS]
    return "" if value is None else str(value)[:_MAX_TEXT_CHARS]


def classify(answer: Answer, error: ErrorBody, *, has_schema: bool) -> Problem:
    """Return the problem that an answer reports; `has_schema`: the request asked for an answer by a schema."""
    status = answer.status if not 200 <= answer.status < 300 else error.number or HTTPStatus.INTERNAL_SERVER_ERROR
    kind, code = _classify(error, status, answer.headers)
    return Problem(
        kind=kind,
        code=code,
        message=_message(error, status),
        http_status=answer.status,
        retry_after=wait_of(answer, answer.asked_at + answer.ms / 1000),
        details=_details(error, answer),
        by_amount=kind == "throttled" and (error.type == "tokens" or _is_for_tokens(error, answer.headers)),
        fallback=_fallback(error, status, has_schema=has_schema),
    )


def _classify(error: ErrorBody, status: int, headers: Mapping[str, str]) -> tuple[ProblemKind, str]:
    code = kebab_case(error.code) or kebab_case(error.type) or f"http-{status}"
    if error.words & _BLOCKED:
        return "row", "blocked"
    if error.words & _QUOTA or status == HTTPStatus.PAYMENT_REQUIRED:
        return "quota", "quota-used-up"
    if status < 500 and _is_ours(error):
        return "misconfigured", code
    if _NO_PICTURES.search(error.message):
        return "misconfigured", "no-pictures"
    named = next((_KINDS[word] for word in (error.code.lower(), error.type.lower()) if word in _KINDS), None)
    kind = named or _STATUSES.get(status) or _CLASSES.get(status // 100, "transient")
    return _as_told(kind, headers), code


def _as_told(kind: ProblemKind, headers: Mapping[str, str]) -> ProblemKind:
    """Follow x-should-retry, in which a service says itself whether the same request may succeed later."""
    told = headers.get("x-should-retry")
    if told == "true" and kind == "row":
        return "transient"
    return "row" if told == "false" and kind == "transient" else kind


def _is_ours(error: ErrorBody) -> bool:
    """Return True if a parameter is refused that the config sets: every row would fail alike."""
    return bool(error.param and not error.param.startswith("messages")) or _UNKNOWN.search(error.message) is not None


def _is_for_tokens(error: ErrorBody, headers: Mapping[str, str]) -> bool:
    return _TOKENS.search(error.message) is not None or is_out_of_tokens(headers)


def _fallback(error: ErrorBody, status: int, *, has_schema: bool) -> str:
    """Name another way to send the request, where the service doesn't know a part of it."""
    if not 400 <= status < 502 or status in {401, 402, 403, 429}:
        return ""
    if has_schema and _NO_SCHEMA.search(error.text) and not _BAD_SCHEMA.search(error.message):
        return PLAIN_JSON
    return OTHER_NAME if _LIMIT_NAME.search(error.text) and _is_ours(error) else ""


def _message(error: ErrorBody, status: int) -> str:
    message = error.message or without_reason(status)
    if status == HTTPStatus.NOT_FOUND and not error.message:
        message += "; check the path of provider.endpoint, which often ends in /v1"
    return f"{message} (parameter {error.param})" if error.param else message


def _details(error: ErrorBody, answer: Answer) -> dict[str, str]:
    details = {"code": error.code, "type": error.type, "parameter": error.param, **trace_details(answer)}
    return {name: value for name, value in details.items() if value}


def trace_details(answer: Answer) -> dict[str, str]:
    """Return the id by which the service's support finds the call, or an empty dict."""
    trace_id = answer.headers.get("x-request-id") or answer.headers.get("apim-request-id")
    return {"trace_id": trace_id} if trace_id else {}
