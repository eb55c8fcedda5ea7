"""Turn an answer into insights or a Problem; total: any status, any headers, any bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from pipeline.providers.bing.errors import answer_problem, is_error, trace
from pipeline.providers.bing.insights import KNOWN_KEYS, read_insights
from pipeline.providers.bing.shapes import Context
from pipeline.providers.bing.successes import hint_problem
from pipeline.records import Answer, Crop, Problem, ProblemKind
from pipeline.schema import Insights, Origin

_BOM = b"\xef\xbb\xbf"
_SUCCESS_TYPES = ("ImageKnowledge", "ImageInsights")
_OTHER_TYPES = ("Images", "TrendingImages", "ErrorResponse")


def read_answer(
    answer: Answer, *, origin: Origin, crop: Crop | None, is_from_row: Callable[[str], bool], url_chars: int
) -> Insights | Problem:
    """Return the insights of a success, or what kind of problem the answer is."""
    document = parse(answer.body)
    is_success = _is_success(document)
    if not 200 <= answer.status < 300 or (not is_success and is_error(document)):
        return answer_problem(answer, document, is_from_row=is_from_row, url_chars=url_chars)
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
    """Tell whether a body is an answer about a picture; the type hint may be missing, and the content too."""
    if type(document) is not dict:
        return False
    hint = document.get("_type")
    return hint in _SUCCESS_TYPES or (hint not in _OTHER_TYPES and not KNOWN_KEYS.isdisjoint(document))


def parse(body: bytes) -> Any:
    """Return the body's JSON, which may begin with a byte order mark, or `None` where it is none."""
    try:
        return orjson.loads(body.removeprefix(_BOM))
    except orjson.JSONDecodeError:
        return None


def unreadable(answer: Answer, document: Any) -> Problem:
    """Classify a success that says nothing: an empty body is how the service slows down a suspected abuser."""
    kind: ProblemKind = "transient"
    if not answer.body.removeprefix(_BOM).strip():
        kind, code, message = (
            "throttled",
            "empty-body",
            "the service answered with an empty body, as if to slow us down",
        )
    elif document is None:
        code, message = "not-json", "the answer is no JSON, or only the beginning of it"
    else:
        code, message = "unexpected-answer", "the answer is JSON, but no answer to what was asked"
    return Problem(kind=kind, code=code, message=message, http_status=answer.status, details=trace(answer))
