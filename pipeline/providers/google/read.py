"""Turns an answer into insights or a Problem; never raises, whatever its status and bytes are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final

from pipeline.providers.collector import Json, as_list, as_object
from pipeline.providers.google.annotations import (
    read_colours,
    read_faces,
    read_labels,
    read_landmarks,
    read_logos,
    read_objects,
    read_products,
    read_safety,
)
from pipeline.providers.google.collector import GoogleCollector
from pipeline.providers.google.errors import classify_error, classify_status, unreadable
from pipeline.providers.google.text import read_text, text_frame
from pipeline.providers.google.web import read_web
from pipeline.providers.json_body import parse_json
from pipeline.records import Answer, Problem, Request
from pipeline.schema import Insights, Unavailable

_NOT_OFFERED: Final = "the service knows no offers; the feature products looks into your own product set"
_Reader = tuple[type, Callable[[Any, GoogleCollector], None]]
# In the order in which their tags and entities are to come.
_READERS: Final[dict[str, _Reader]] = {
    "localizedObjectAnnotations": (list, read_objects),
    "labelAnnotations": (list, read_labels),
    "logoAnnotations": (list, read_logos),
    "landmarkAnnotations": (list, read_landmarks),
    "faceAnnotations": (list, read_faces),
    "safeSearchAnnotation": (dict, read_safety),
    "imagePropertiesAnnotation": (dict, read_colours),
    "productSearchResults": (dict, read_products),
    "webDetection": (dict, read_web),
}
# What of an answer shows that a feature was looked for, and the fields that stay empty without it.
_SHOWN_BY: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "labels": (("labelAnnotations",), ("tags",)),
    "objects": (("localizedObjectAnnotations",), ("tags",)),
    "text": (("textAnnotations", "fullTextAnnotation"), ("text",)),
    "document_text": (("textAnnotations", "fullTextAnnotation"), ("text",)),
    "web": (("webDetection",), ("pages", "similar_images", "sizes", "best_query")),
    "logos": (("logoAnnotations",), ("entities",)),
    "landmarks": (("landmarkAnnotations",), ("entities",)),
    "safety": (("safeSearchAnnotation",), ("safety",)),
    "colours": (("imagePropertiesAnnotation",), ("dominant_colors",)),
    "crop_hints": (("cropHintsAnnotation",), ("other",)),
    "faces": (("faceAnnotations",), ("entities",)),
    "products": (("productSearchResults",), ("similar_products",)),
}


def read_answer(request: Request, answer: Answer, features: Sequence[str]) -> Insights | Problem:
    """Return the insights of an answer to one picture, or the problem that it reports."""
    document = parse_json(answer.body)
    if answer.status != 200:
        return classify_status(answer, document, request)
    responses = as_list(as_object(document).get("responses"))
    if not responses or type(responses[0]) is not dict:
        return unreadable(answer, document, request)
    response = dict(responses[0])
    error = as_object(response.pop("error", None))
    if not error:
        return _read(response, request, features, [])
    if not any(name in response for names, _ in _SHOWN_BY.values() for name in names):
        return classify_error(answer, error, request)
    return _read(response, request, features, _unavailable(response, error, features))


def _read(response: Json, request: Request, features: Sequence[str], unavailable: list[Unavailable]) -> Insights:
    """Read every annotation of a response; what no reader knows is kept."""
    frame, problem = text_frame(response, request.picture_size)
    collector = GoogleCollector(frame=frame)
    for name, (kind, read) in _READERS.items():
        if type(response.get(name)) is kind:
            read(response.pop(name), collector)
    read_text(response, collector)
    for name, value in response.items():
        collector.keep(name, value)
    insights = collector.insights
    insights["unavailable"] += unavailable
    if problem:
        insights["unavailable"].append({"kind": "text", "reason": problem})
    if "products" not in features:
        insights["unavailable"].append({"kind": "offers", "reason": _NOT_OFFERED})
    return insights


def _unavailable(response: Json, error: Json, features: Sequence[str]) -> list[Unavailable]:
    """Name the fields of the features that are missing beside an error: they have failed, or there is nothing."""
    code, message = error.get("code", "?"), error.get("message") or "no reason given"
    reason = f"the service could not look for it, or found nothing: {message} (code {code})"
    missing = [kinds for names, kinds in map(_SHOWN_BY.__getitem__, features) if not set(names) & set(response)]
    return [{"kind": kind, "reason": reason} for kind in dict.fromkeys(chain.from_iterable(missing))]
