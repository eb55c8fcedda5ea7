"""HTTP 200 that is no success: an empty body, a body cut off, hints that the picture was not looked at."""

from __future__ import annotations

from pipeline.providers.bing.errors import kebab, trace
from pipeline.records import Answer, Problem, ProblemKind
from pipeline.schema import Insights

# The service's own trouble; every other hint is about the picture.
_TRANSIENT_HINTS = frozenset({"ServiceUnavailable"})


def hint_problem(insights: Insights, answer: Answer) -> Problem | None:
    """Return the problem that image quality hints name where they came instead of results."""
    hints = insights["hints"]
    if not hints or has_results(insights):
        return None
    passing = _TRANSIENT_HINTS.intersection(hints)
    kind: ProblemKind = "transient" if passing else "row"
    hint = min(passing) if passing else hints[0]
    return Problem(
        kind=kind,
        code=kebab(hint) or "image-quality",
        message=f"the service did not look at the picture: {', '.join(hints)}",
        http_status=answer.status,
        details={"hints": ", ".join(hints), **trace(answer)},
    )


def has_results(insights: Insights) -> bool:
    """Tell whether an answer says anything about the picture but its token."""
    ignored = {"insights_token", "market", "hints", "unavailable", "other", "attributions"}
    found = {name: value for name, value in insights.items() if name not in ignored}
    return any(value not in ([], {"items": []}) for value in found.values())
