"""Read a successful response: ImageKnowledge or ImageInsights, of either endpoint.

Sources: all documents of docs/protocol.md but the Visual Search guide.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from pipeline.providers.bing.actions import MODULES, add_items
from pipeline.providers.bing.common_objects import gallery, image, queries_or_one, query
from pipeline.providers.bing.entities import attribution, recognized_entities
from pipeline.providers.bing.scalars import color
from pipeline.providers.bing.shapes import Context, Json, JsonPath, Read, Shape, path_text, read_list
from pipeline.providers.bing.tag_reader import read_tags
from pipeline.schema import Insights, no_insights

_TAG = Shape({"name": ("name", str)})
_CAPTION = Shape(
    {"caption": ("text", str), "dataSourceUrl": ("source_url", str)},
    converted={"relatedSearches": ("related_searches", queries_or_one)},
)
_HINT = Shape({"category": ("category", str)})
# Not in the documents: what the embedded service adds, in the record's own terms.
_COLOR = Shape({"share": ("share", float)}, scalars={"hex": ("hex", color)})
_DUPLICATE = Shape(
    {name: (name, str) for name in ("id", "path", "kind", "sha256")} | {"score": ("score", float)},
)
_DUPLICATE_KINDS = ("exact", "same", "edited", "mirrored")
_UNAVAILABLE = Shape({"kind": ("kind", str), "reason": ("reason", str)})


def _tag(source: Json, context: Context, path: JsonPath) -> Json:
    return {"name": "", "sources": [], "actions": [], **_TAG.read(source, context, path), "origin": context.origin}


def unavailable(source: Json, context: Context, path: JsonPath) -> Json:
    """Read one reason why something is not in a response; the embedded service adds it."""
    return {"kind": "", "reason": "", **_UNAVAILABLE.read(source, context, path)}


def _caption(source: Json, context: Context, path: JsonPath) -> Json:
    return {"related_searches": [], **_CAPTION.read(source, context, path), "origin": context.origin}


def _values(read: Read) -> Read:
    return Shape(lists={"value": ("items", read)}).read


_IMAGES = MODULES["VisualSearch"].shape.read
_QUERIES = MODULES["RelatedSearches"].shape.read
_MODULES = {
    "pagesIncluding": ("pages", MODULES["PagesIncluding"].shape.read),
    "visuallySimilarImages": ("similar_images", _IMAGES),
    "visuallySimilarProducts": ("similar_products", _IMAGES),
    "relatedSearches": ("related_searches", _QUERIES),
    "imageBasedRelatedSearches": ("suggestions", _QUERIES),
    "shoppingSources": ("offers", MODULES["ShoppingSources"].shape.read),
    "recipes": ("recipes", MODULES["Recipes"].shape.read),
    "relatedCollections": ("collections", _values(gallery)),
    "imageTags": ("tags", _values(_tag)),
    "bestRepresentativeQuery": ("best_query", query),
    "imageCaption": ("caption", _caption),
    "image": ("image", image),
    "recognizedEntityGroups": ("entities", recognized_entities),
}
_LISTS = {
    "imageQualityHints": ("hints", _HINT.read),
    "contractualRules": ("attributions", attribution),
    "dominantColors": ("dominant_colors", _COLOR.read),
    "duplicates": ("duplicates", _DUPLICATE.read),
    "unavailable": ("unavailable", unavailable),
}
_RESPONSE = Shape(
    {"imageInsightsToken": ("insights_token", str)},
    objects=_MODULES,
    lists=_LISTS,
    dropped=("tags", "instrumentation"),
)
# A response without any of these keys is not a response of this API, whatever its type hint says.
KNOWN_KEYS = frozenset({*_MODULES, *_LISTS, "tags", "imageInsightsToken"})


def read_insights(document: Json, context: Context) -> Insights:
    """Return the insights of a parsed response from either endpoint; what has no field is kept in `other`."""
    insights = cast("Json", no_insights())
    for name, value in _RESPONSE.read(document, context, None).items():
        add_items(insights, name, value)
    _move_token(document, insights)
    tags = document.get("tags")
    if type(tags) is list:
        read_tags(tags, insights, context, (None, "tags"))
    else:
        context.keep((None, "tags"), tags)
    if "accent_color" in insights.get("image", {}):
        insights["accent_color"] = insights["image"]["accent_color"]
    if context.origin == "catalogue" and "image_id" not in insights.get("image", {}):
        insights.pop("image", None)  # the picture is not in the catalogue: the image only repeats what was sent
    insights["dominant_colors"] = [item for item in insights["dominant_colors"] if "hex" in item]
    insights["duplicates"] = [item for item in insights["duplicates"] if _is_duplicate(item)]
    insights["hints"] = [hint["category"] for hint in insights["hints"] if "category" in hint]
    insights["attributions"] += _attributions(context)
    insights["other"] = context.other
    return cast("Insights", insights)


def _is_duplicate(item: Json) -> bool:
    return item.keys() >= {"id", "path", "kind", "score"} and item["kind"] in _DUPLICATE_KINDS


def _move_token(document: Json, insights: Json) -> None:
    """Move the token out of ImageKnowledge's image, which often has no other key (Visual Search response guide)."""
    picture = insights.get("image", {})
    if "imageInsightsToken" not in document and "insights_token" in picture:
        insights["insights_token"] = picture.pop("insights_token")
        if picture.keys() == {"origin"}:
            del insights["image"]


def _attributions(context: Context) -> Iterator[Json]:
    """Read the contractual rules from outside of entities; `about` is the path of the object that each governs."""
    for path, rules in context.contractual_rules.copy():
        for rule in read_list(rules, attribution, context, (path, "contractualRules")) or ():
            yield {**rule, "about": path_text(path)}
