"""Turn a response into insights or a Problem; never raises, whatever its status, headers and bytes are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.providers.bing.error_bodies import classify_error, is_error, trace_details
from pipeline.providers.bing.insights_reader import KNOWN_KEYS, read_insights
from pipeline.providers.bing.quality_hints import hint_problem
from pipeline.providers.bing.shapes import Context
from pipeline.providers.json_body import is_damaged_json, parse_json
from pipeline.records import Answer, Crop, Problem, ProblemKind
from pipeline.schema import Insights, Origin

_BOM = b"\xef\xbb\xbf"
_SUCCESS_TYPES = ("ImageKnowledge", "ImageInsights")
_OTHER_TYPES = ("Images", "TrendingImages", "ErrorResponse")


def read_answer(
    answer: Answer, *, origin: Origin, crop: Crop | None, is_from_row: Callable[[str], bool], url_chars: int
) -> Insights | Problem:
    """Return the insights of a success, or the problem that the response reports.

    `is_from_row` returns True for a parameter whose value the row gave, `url_chars` is the length of the request's URL.
    """
    document = parse_json(answer.body)
    is_success = _is_success(document)
    if not 200 <= answer.status < 300 or (not is_success and is_error(document)):
        return classify_error(answer, document, is_from_row=is_from_row, url_chars=url_chars)
    if not is_success:
        return unreadable(answer, document)
    insights = read_insights(document, Context(origin, crop))
    problem = hint_problem(insights, answer)
    if problem is not None:
        return problem
    market = answer.headers.get("bingapis-market")
    if market:
        insights["market"] = market
    return insights


def _is_success(document: Any) -> bool:
    """Return True for a response about a picture, which may lack the type hint or all of its content."""
    if type(document) is not dict:
        return False
    type_hint = document.get("_type")
    return type_hint in _SUCCESS_TYPES or (type_hint not in _OTHER_TYPES and not KNOWN_KEYS.isdisjoint(document))


def unreadable(answer: Answer, document: Any) -> Problem:
    """Classify a response whose status is 200 but whose body is not a result.

    An empty body is how the service slows down a client that it suspects of abuse.
    """
    kind: ProblemKind = "transient"
    if not answer.body.removeprefix(_BOM).strip():
        kind, code, message = "throttled", "empty-body", "the service sent an empty body, as it does to slow us down"
    elif is_damaged_json(answer.body):
        kind, code, message = "unreadable", "not-json", "the response begins like JSON, but can't be read"
    elif document is None:
        code, message = "not-json", "the response is not JSON, or it is cut off"
    else:
        code, message = "unexpected-answer", "the response is JSON, but not a response to this request"
    return Problem(kind=kind, code=code, message=message, http_status=answer.status, details=trace_details(answer))
