"""Turns an answer into insights or a Problem; never raises, whatever its status and bytes are."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from pipeline.providers.collector import Collector, Json
from pipeline.providers.json_body import parse_json
from pipeline.providers.lens.errors import classify_error, says_no_results, unfinished, unreadable
from pipeline.providers.lens.knowledge import read_knowledge, read_related, read_text
from pipeline.providers.lens.matches import read_exact_matches, read_look_alikes, read_products
from pipeline.records import Answer, Problem
from pipeline.schema import Insights

_METADATA: Final = "search_metadata"
_Reader = tuple[tuple[type, ...], Callable[[Any, Collector], None]]
_READERS: Final[dict[str, _Reader]] = {
    "exact_matches": ((list,), read_exact_matches),
    "knowledge_graph": ((list, dict), read_knowledge),
    "related_content": ((list,), partial(read_related, "related_content")),
    "related_searches": ((list,), partial(read_related, "related_searches")),
    "text_results": ((list,), read_text),
}
# What says nothing about the picture: the search itself, how it went, and links back to the service, which expire.
_ABOUT_THE_SEARCH: Final = frozenset({_METADATA, "search_parameters", "search_information", "error"})
_LINKS_BACK: Final = re.compile(r"serpapi_.*|.*page_token")
_DEEPEST: Final = 50  # no answer is deeper; what is stays as it is


def read_answer(answer: Answer, kind: str) -> Insights | Problem:
    """Return the insights of a search of this type, or the problem that its answer reports."""
    document = parse_json(answer.body)
    error, state = _error(document), _state(document)
    if answer.status != 200:
        return classify_error(answer, error)
    if type(document) is not dict or not (state or error):
        return unreadable(answer, document)
    if says_no_results(error):
        return _read(document, kind)
    if error or state == "Error":
        return classify_error(answer, error)
    return unfinished(answer) if state in ("Queued", "Processing") else _read(document, kind)


def is_counted(answer: Answer) -> bool:
    """Return True for a search that is paid for: one that succeeded, also without any result."""
    document = parse_json(answer.body) if answer.status == 200 else None
    return _state(document) == "Success" and (not (error := _error(document)) or says_no_results(error))


def search_id(answer: Answer) -> str | None:
    """Return the id that the service has given to a search."""
    identifier = _metadata(parse_json(answer.body)).get("id")
    return identifier if type(identifier) is str and identifier else None


def _read(document: Json, kind: str) -> Insights:
    """Read every part of an answer; what no reader knows is kept."""
    collector = Collector()
    rest: Json = _without_links({name: document[name] for name in document if name not in _ABOUT_THE_SEARCH})
    matches = rest.pop("visual_matches", None)
    if type(matches) is list:
        (read_products if kind == "products" else read_look_alikes)(matches, collector)
    else:
        collector.keep("visual_matches", matches)
    for name, (kinds, read) in _READERS.items():
        if type(rest.get(name)) in kinds:
            read(rest.pop(name), collector)
    for name, value in rest.items():
        collector.keep(name, value)
    return collector.insights


def _without_links(value: Any, depth: int = 0) -> Any:
    """Return a value without links back to the service, and without tokens that lead to a further search."""
    if depth > _DEEPEST:
        return value
    if type(value) is dict:
        return {
            name: _without_links(inner, depth + 1) for name, inner in value.items() if not _LINKS_BACK.fullmatch(name)
        }
    return [_without_links(inner, depth + 1) for inner in value] if type(value) is list else value


def _metadata(document: Any) -> Json:
    metadata = document.get(_METADATA) if type(document) is dict else None
    return metadata if type(metadata) is dict else {}


def _state(document: Any) -> str:
    state = _metadata(document).get("status")
    return state if type(state) is str else ""


def _error(document: Any) -> str:
    error = document.get("error") if type(document) is dict else None
    return " ".join(error.split()) if type(error) is str else ""
