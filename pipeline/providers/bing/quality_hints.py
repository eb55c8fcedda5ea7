"""Image quality hints: a response with status 200 that says why the picture was not analysed."""

from __future__ import annotations

from pipeline.providers.bing.error_bodies import trace_details
from pipeline.providers.error_words import kebab_case
from pipeline.records import Answer, Problem, ProblemKind
from pipeline.schema import Insights

# This hint is about the service; every other hint is about the picture.
_TRANSIENT_HINTS = frozenset({"ServiceUnavailable"})
_NOT_RESULTS = frozenset({"insights_token", "market", "hints", "unavailable", "other", "attributions"})


def hint_problem(insights: Insights, answer: Answer) -> Problem | None:
    """Return the problem that the hints name, or None if there are no hints or the response has results."""
    hints = insights["hints"]
    if not hints or _has_results(insights):
        return None
    transient_hints = _TRANSIENT_HINTS.intersection(hints)
    kind: ProblemKind = "transient" if transient_hints else "row"
    hint = min(transient_hints) if transient_hints else hints[0]
    return Problem(
        kind=kind,
        code=kebab_case(hint) or "image-quality",
        message=f"the service did not analyse the picture: {', '.join(hints)}{_reason(insights)}",
        http_status=answer.status,
        details={"hints": ", ".join(hints), **trace_details(answer)},
    )


def _reason(insights: Insights) -> str:
    """Return what the embedded service says beyond the hint, in brackets."""
    reasons = [one["reason"] for one in insights["unavailable"] if one["kind"] == "picture" and one["reason"]]
    return f" ({'; '.join(reasons)})" if reasons else ""


def _has_results(insights: Insights) -> bool:
    """Return True if the insights say anything about the picture."""
    results = (value for name, value in insights.items() if name not in _NOT_RESULTS)
    return any(value not in ([], {"items": []}) for value in results)
