"""Actions, the parts of a Visual Search response: modules with results, and links to follow.

Sources: Visual Search query and response guides.

The readers choose by `actionType`, since `_type` is often absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.providers.bing.common_objects import image, offer, query, recipe, trivia
from pipeline.providers.bing.shapes import EMPTY, Context, Json, JsonPath, Read, Shape


def _module_shape(key: str, read: Read, plain: Mapping[str, tuple[str, type]] = EMPTY) -> Shape:
    """Return the shape of a module's `data`; currentOffset only repeats the offset of the request."""
    return Shape(plain, lists={key: ("items", read)}, dropped=("currentOffset",))


@dataclass(frozen=True, slots=True)
class Module:
    """An action with results, and the fields that they go to.

    Results for the whole picture go to the field `insight` of the insights, results for one tag to the field `result`
    of the tag's action.
    """

    shape: Shape
    insight: str
    result: str


_IMAGES = _module_shape("value", image)
_PAGED = _module_shape("value", image, {"nextOffset": ("next_offset", int), "totalEstimatedMatches": ("total", int)})
_QUERIES = _module_shape("value", query)
MODULES = {
    "PagesIncluding": Module(_IMAGES, "pages", "images"),
    "MoreSizes": Module(_IMAGES, "sizes", "images"),
    "VisualSearch": Module(_PAGED, "similar_images", "images"),
    "SimilarImages": Module(_PAGED, "similar_images", "images"),
    "ProductVisualSearch": Module(_PAGED, "similar_products", "images"),
    "SimilarProducts": Module(_PAGED, "similar_products", "images"),
    "ShoppingSources": Module(_module_shape("offers", offer), "offers", "offers"),
    "RelatedSearches": Module(_QUERIES, "related_searches", "queries"),
    "DocumentLevelSuggestions": Module(_QUERIES, "suggestions", "queries"),
    "Recipes": Module(_module_shape("value", recipe), "recipes", "recipes"),
    "Trivia": Module(_module_shape("value", trivia), "trivia", "trivia"),
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


def read_action(source: Json, context: Context, path: JsonPath) -> Json:
    """Read the links of an action; its other keys are copied to `extra`."""
    own_context = Context(context.origin, context.crop)
    action = _ACTION.read(source, own_context, None)
    extra: Json = {}
    for leftover in own_context.other:
        key = leftover["where"]
        if key in source:
            extra[key] = leftover["value"]
        else:
            context.keep((path, key), leftover["value"])
    context.contractual_rules.extend((path, rules) for _, rules in own_context.contractual_rules)
    if extra:
        action["extra"] = extra
    return action


def read_results(module: Module, data: Json, context: Context, path: JsonPath) -> Json:
    """Read the results of one tag's action, such as the images that are similar to one region of the picture."""
    results = module.shape.read(data, context, path)
    items = results.pop("items", [])
    return {"images": [], "offers": [], "queries": [], "recipes": [], "trivia": [], **results, module.result: items}


def add_items(insights: Json, name: str, value: Any) -> None:
    """Add a value to the insight `name`; it is a list, a list with paging (`items`, `next_offset`), or a single value.

    Lists are appended to what the insight holds already.
    """
    insight = insights.get(name)
    if insight is None:
        insights[name] = value
    elif type(value) is list:
        insight.extend(value)
    elif type(insight) is list:
        insight.extend(value.get("items", ()))
    else:
        insight["items"].extend(value.pop("items", ()))
        insight.update(value)


def action_type(source: Json) -> str:
    """Return the action's type, or an empty string if it has none."""
    name = source.get("actionType")
    return name if type(name) is str else ""
