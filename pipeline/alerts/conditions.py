"""Whether a condition holds: of a change, or of a run. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from pipeline.changes.change import Change, Difference
from pipeline.config import Condition

_PRICES = ("price", "low_price")
_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What the conditions on a run look at: its failed rows, all of its rows, and how long no record was written."""

    failed: int
    rows: int
    idle_seconds: float


def holds(condition: Condition, change: Change) -> bool:
    """Return True if a condition holds of a change.

    What is seen for the first time is no change: a price has to be known before and after.
    """
    difference = change.difference
    match condition.kind:
        case "below" | "above" | "moves":
            return _is_price_of(condition, difference) and _crosses(condition, difference)
        case "page":
            return difference.field == "pages" and difference.before is None and _is_on(condition.text, difference.item)
        case "text":
            return (
                difference.field == "text"
                and _contains(difference.after, condition.text)
                and not _contains(difference.before, condition.text)
            )
        case "row":
            return difference.kind == condition.text
        case "field":
            return condition.text == change.name or change.name.startswith(f"{condition.text}.")
    return False


def holds_of_run(condition: Condition, facts: RunFacts) -> bool:
    """Return True if a condition on a run holds."""
    if condition.kind == "failed":
        return facts.failed > (condition.limit * facts.rows if condition.is_share else condition.limit)
    return condition.kind == "idle" and facts.idle_seconds >= condition.limit


def run_text(condition: Condition, facts: RunFacts) -> str:
    """Return what a run's alert says, with the limit."""
    if condition.kind == "idle":
        return f"no record was written for {facts.idle_seconds / _DAY:.1f} days (limit {condition.limit / _DAY:g} days)"
    limit = _percent(condition) if condition.is_share else f"{condition.limit:g}"
    return f"{facts.failed} of {facts.rows} rows have failed (limit {limit})"


def limit_text(condition: Condition) -> str:
    """Return the limit of a condition on a price, empty where it has none."""
    match condition.kind:
        case "below" | "above":
            return f"{condition.kind} {condition.limit:g}" + (f" {condition.text}" if condition.text else "")
        case "moves":
            return f"moved by {_percent(condition)} or more"
    return ""


def _percent(condition: Condition) -> str:
    return f"{condition.limit * 100:g}%"


def _is_price_of(condition: Condition, difference: Difference) -> bool:
    """Return True if a price has changed in one currency, the one that the condition names if it names one."""
    if difference.field.rpartition(".")[2] not in _PRICES or " -> " in difference.currency:
        return False
    return condition.kind == "moves" or not condition.text or condition.text == difference.currency.upper()


def _crosses(condition: Condition, difference: Difference) -> bool:
    before, after = difference.before, difference.after
    if not isinstance(before, int | float) or not isinstance(after, int | float):
        return False
    match condition.kind:
        case "below":
            return after < condition.limit <= before
        case "above":
            return before <= condition.limit < after
    return before > 0 and abs(after - before) >= condition.limit * before - 1e-9 * before


def _is_on(domain: str, url: str) -> bool:
    """Return True if a page is on a domain or on one below it; every page is, where none is named."""
    try:
        host = (urlsplit(url).hostname or "").lower()
    except ValueError:
        host = ""
    return not domain or host == domain or host.endswith(f".{domain}")


def _contains(text: object, words: str) -> bool:
    return isinstance(text, str) and words.casefold() in text.casefold()
