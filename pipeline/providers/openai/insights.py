"""From the JSON object of a model's answer to the fields of the record; all of it is marked as generated."""

from __future__ import annotations

from typing import Any, Final, cast

from pipeline.providers.openai.question import ATTRIBUTES, LIKELIHOODS
from pipeline.schema import Insights, Safety, Tag, no_insights

NONE_OF_THE_KEYS: Final = "the answer is a JSON object, but has none of the keys that were asked for"
_ORIGIN: Final = "generated"
_UNKNOWN: Final = "a model sees the picture alone: it knows no pages, shops or other pictures"
_UNKNOWN_KINDS: Final = ("pages", "sizes", "similar_images", "similar_products", "offers")


def insights_of(content: dict[str, Any], features: frozenset[str], attributes: dict[str, Any] | None) -> Insights:
    """Return the insights of an answer; what has another form than was asked for, or another name, goes to `other`."""
    insights: dict[str, Any] = {**no_insights()}
    for name, value in content.items():
        if name == ATTRIBUTES and attributes is not None:
            continue
        if value in (None, "", []):
            continue
        field = _READERS[name](value) if name in features else None
        if field:
            insights[name] = field
        else:
            insights["other"].append({"where": name, "value": value})
    if attributes:
        insights[ATTRIBUTES] = attributes
    insights["unavailable"] = [{"kind": kind, "reason": _UNKNOWN} for kind in _UNKNOWN_KINDS]
    return cast("Insights", insights)


def _caption(value: Any) -> Any:
    text = _line(value)
    return {"text": text, "related_searches": [], "origin": _ORIGIN} if text else None


def _query(value: Any) -> Any:
    text = _line(value)
    return {"text": text, "origin": _ORIGIN} if text else None


def _text(value: Any) -> Any:
    full = value.strip() if type(value) is str else ""
    return {"full": full, "regions": [], "sources": ["model"], "origin": _ORIGIN} if full else None


def _tags(value: Any) -> list[Tag] | None:
    """Return tags, each once; a single text is read as names with commas between them."""
    names = value.split(",") if type(value) is str else value
    if type(names) is not list or not all(type(name) is str for name in names):
        return None
    unique = dict.fromkeys(filter(None, map(_line, names)))
    return [{"name": name, "sources": ["model"], "actions": [], "origin": _ORIGIN} for name in unique]


def _safety(value: Any) -> Safety | None:
    if type(value) is not dict:
        return None
    known = {
        name: LIKELIHOODS[word]
        for name, word in value.items()
        if name in Safety.__annotations__ and type(word) is str and word in LIKELIHOODS
    }
    return cast("Safety", {**known, "origin": _ORIGIN}) if known else None


def _line(value: Any) -> str:
    return " ".join(value.split()) if type(value) is str else ""


_READERS: Final = {"caption": _caption, "tags": _tags, "text": _text, "best_query": _query, "safety": _safety}
