"""Actions, the unit of a Visual Search answer: modules with results, and links to go on with (references 002, 003).

Dispatch is on `actionType`; `_type` is often absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.providers.bing.objects import image, offer, query, recipe, trivia
from pipeline.providers.bing.shapes import EMPTY, At, Context, Json, Read, Shape


def _module(key: str, read: Read, plain: Mapping[str, tuple[str, type]] = EMPTY) -> Shape:
    """Return the shape of `data`; currentOffset only repeats what was asked for."""
    return Shape(plain, lists={key: ("items", read)}, dropped=("currentOffset",))


@dataclass(frozen=True, slots=True)
class Module:
    """Where results go: to `insight` from the picture's own tag, to the action's `result` from any other tag."""

    shape: Shape
    insight: str
    result: str


_IMAGES = _module("value", image)
_PAGED = _module("value", image, {"nextOffset": ("next_offset", int), "totalEstimatedMatches": ("total", int)})
_QUERIES = _module("value", query)
MODULES = {
    "PagesIncluding": Module(_IMAGES, "pages", "images"),
    "MoreSizes": Module(_IMAGES, "sizes", "images"),
    "VisualSearch": Module(_PAGED, "similar_images", "images"),
    "SimilarImages": Module(_PAGED, "similar_images", "images"),
    "ProductVisualSearch": Module(_PAGED, "similar_products", "images"),
    "SimilarProducts": Module(_PAGED, "similar_products", "images"),
    "ShoppingSources": Module(_module("offers", offer), "offers", "offers"),
    "RelatedSearches": Module(_QUERIES, "related_searches", "queries"),
    "DocumentLevelSuggestions": Module(_QUERIES, "suggestions", "queries"),
    "Recipes": Module(_module("value", recipe), "recipes", "recipes"),
    "Trivia": Module(_module("value", trivia), "trivia", "trivia"),
}

_ACTION = Shape(
    {
        "actionType": ("type", str),
        "_type": ("kind", str),
        "displayName": ("name", str),
        "url": ("url", str),
        "webSearchUrl": ("web_search_url", str),
        "serviceUrl": ("service_url", str),
    },
    objects={"image": ("image", image)},
)


def read_action(source: Json, context: Context, at: At) -> Json:
    """Read what an action links to; whatever the record has no name for stays verbatim in `extra`."""
    own = Context(context.origin, context.crop)
    found = _ACTION.read(source, own, None)
    extra: Json = {}
    for left in own.other:
        key = left["where"]
        if key in source:
            extra[key] = left["value"]
        else:
            context.keep((at, key), left["value"])
    context.rules.extend((at, rules) for _, rules in own.rules)
    if extra:
        found["extra"] = extra
    return found


def read_results(module: Module, data: Json, context: Context, at: At) -> Json:
    """Read an action's own results, such as the look-alikes of one region of the picture."""
    found = module.shape.read(data, context, at)
    items = found.pop("items", [])
    return {"images": [], "offers": [], "queries": [], "recipes": [], "trivia": [], **found, module.result: items}


def add_items(insights: Json, name: str, found: Any) -> None:
    """Add what was read to its insight: a list, {items, and how to page on}, or a single value."""
    target = insights.get(name)
    if target is None:
        insights[name] = found
    elif type(found) is list:
        target.extend(found)
    elif type(target) is list:
        target.extend(found.get("items", ()))
    else:
        target["items"].extend(found.pop("items", ()))
        target.update(found)


def action_type(source: Json) -> str:
    """Return the action's type, or an empty text where it has none that can be read."""
    name = source.get("actionType")
    return name if type(name) is str else ""
