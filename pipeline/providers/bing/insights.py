"""Read a success: ImageKnowledge and ImageInsights, the answers of both endpoints (references 001-004)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from pipeline.providers.bing import entities
from pipeline.providers.bing.actions import MODULES, add_items
from pipeline.providers.bing.knowledge import read_tags
from pipeline.providers.bing.objects import gallery, image, queries_or_one, query
from pipeline.providers.bing.scalars import color
from pipeline.providers.bing.shapes import At, Context, Json, Read, Shape, path_text, read_list
from pipeline.schema import Insights, no_insights

_TAG = Shape({"name": ("name", str)})
_CAPTION = Shape(
    {"caption": ("text", str), "dataSourceUrl": ("source_url", str)},
    converted={"relatedSearches": ("related_searches", queries_or_one)},
)
_HINT = Shape({"category": ("category", str)})
# Beyond the documents: what the embedded service adds, in the record's own words.
_COLOR = Shape({"share": ("share", float)}, scalars={"hex": ("hex", color)})
_UNAVAILABLE = Shape({"kind": ("kind", str), "reason": ("reason", str)})


def _tag(source: Json, context: Context, at: At) -> Json:
    return {"name": "", "sources": [], "actions": [], **_TAG.read(source, context, at), "origin": context.origin}


def _unavailable(source: Json, context: Context, at: At) -> Json:
    return {"kind": "", "reason": "", **_UNAVAILABLE.read(source, context, at)}


def _caption(source: Json, context: Context, at: At) -> Json:
    return {"related_searches": [], **_CAPTION.read(source, context, at), "origin": context.origin}


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
    "recognizedEntityGroups": ("entities", entities.recognized),
}
_LISTS = {
    "imageQualityHints": ("hints", _HINT.read),
    "contractualRules": ("attributions", entities.attribution),
    "dominantColors": ("dominant_colors", _COLOR.read),
    "unavailable": ("unavailable", _unavailable),
}
_ANSWER = Shape(
    {"imageInsightsToken": ("insights_token", str)},
    objects=_MODULES,
    lists=_LISTS,
    dropped=("tags", "instrumentation"),
)
# An answer that has none of these is none of this API's, whatever its type hint says.
KNOWN_KEYS = frozenset({*_MODULES, *_LISTS, "tags", "imageInsightsToken"})


def read_insights(document: Json, context: Context) -> Insights:
    """Return what a parsed answer says, whichever endpoint it comes from; nothing but the listed omissions is lost."""
    insights = cast("Json", no_insights())
    for name, value in _ANSWER.read(document, context, None).items():
        add_items(insights, name, value)
    _settle_image(document, insights)
    tags = document.get("tags")
    if type(tags) is list:
        read_tags(tags, insights, context, (None, "tags"))
    else:
        context.keep((None, "tags"), tags)
    if "accent_color" in insights.get("image", {}):
        insights["accent_color"] = insights["image"]["accent_color"]
    if context.origin == "catalogue" and "image_id" not in insights.get("image", {}):
        insights.pop("image", None)  # no row has the picture: what is left repeats what was sent
    insights["dominant_colors"] = [found for found in insights["dominant_colors"] if "hex" in found]
    insights["hints"] = [hint["category"] for hint in insights["hints"] if "category" in hint]
    insights["attributions"] += _attributions(context)
    insights["other"] = context.other
    return cast("Insights", insights)


def _settle_image(document: Json, insights: Json) -> None:
    """Take the token out of ImageKnowledge's image, which holds nothing else (reference 003)."""
    found = insights.get("image", {})
    if "imageInsightsToken" not in document and "insights_token" in found:
        insights["insights_token"] = found.pop("insights_token")
        if found.keys() == {"origin"}:
            del insights["image"]


def _attributions(context: Context) -> Iterator[Json]:
    """Bind the rules found anywhere but in an entity to the part of the answer that they stand in."""
    for at, rules in context.rules.copy():
        for attribution in read_list(rules, entities.attribution, context, (at, "contractualRules")) or ():
            yield {**attribution, "about": path_text(at)}
