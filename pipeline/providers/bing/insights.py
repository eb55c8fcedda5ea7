"""Read a success: ImageKnowledge and ImageInsights, the answers of both endpoints (references 001-004)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from pipeline.providers.bing import entities
from pipeline.providers.bing.actions import MODULES, add_items
from pipeline.providers.bing.knowledge import read_tags
from pipeline.providers.bing.objects import gallery, one_image, one_query, queries_or_one, recipe
from pipeline.providers.bing.shapes import At, Context, Convert, Json, Shape, listed, nested, path_text
from pipeline.schema import Insights, no_insights

_TAG = Shape({"name": ("name", str)})
_CAPTION = Shape(
    {"caption": ("text", str), "dataSourceUrl": ("source_url", str)},
    {"relatedSearches": ("related_searches", queries_or_one)},
)
_HINT = Shape({"category": ("category", str)})


def _tag(source: Json, context: Context, at: At) -> Json:
    return {"name": "", "sources": [], "actions": [], **_TAG.read(source, context, at), "origin": context.origin}


def _caption(value: Any, context: Context, at: At) -> Json | None:
    if type(value) is not dict:
        return None
    return {"related_searches": [], **_CAPTION.read(value, context, at), "origin": context.origin}


def _values(items: Convert) -> Convert:
    return nested(Shape({}, {"value": ("items", items)}))


_IMAGES = nested(MODULES["VisualSearch"].shape)
_QUERIES = nested(MODULES["RelatedSearches"].shape)
_LISTS = {
    "pagesIncluding": ("pages", _IMAGES),
    "visuallySimilarImages": ("similar_images", _IMAGES),
    "visuallySimilarProducts": ("similar_products", _IMAGES),
    "relatedSearches": ("related_searches", _QUERIES),
    "imageBasedRelatedSearches": ("suggestions", _QUERIES),
    "shoppingSources": ("offers", nested(MODULES["ShoppingSources"].shape)),
    "recipes": ("recipes", _values(listed(recipe))),
    "relatedCollections": ("collections", _values(listed(gallery))),
    "imageTags": ("tags", _values(listed(_tag))),
    "recognizedEntityGroups": ("entities", entities.recognized),
    "imageQualityHints": ("hints", listed(_HINT.read)),
    "contractualRules": ("attributions", entities.attributions),
}
_ANSWER = Shape(
    {"imageInsightsToken": ("insights_token", str)},
    {
        **_LISTS,
        "bestRepresentativeQuery": ("best_query", one_query),
        "imageCaption": ("caption", _caption),
        "image": ("image", one_image),
    },
    dropped=("tags", "instrumentation"),
)
# An answer that has none of these is none of this API's, whatever its type hint says.
KNOWN_KEYS = frozenset({*_LISTS, "tags", "image", "imageInsightsToken", "bestRepresentativeQuery", "imageCaption"})


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
    insights["hints"] = [hint["category"] for hint in insights["hints"] if "category" in hint]
    insights["attributions"] += _attributions(context)
    insights["other"] = context.other
    return cast("Insights", insights)


def _settle_image(document: Json, insights: Json) -> None:
    """Take the token out of ImageKnowledge's image, which holds nothing else (reference 003)."""
    image = insights.get("image", {})
    if "imageInsightsToken" not in document and "insights_token" in image:
        insights["insights_token"] = image.pop("insights_token")
        if image.keys() == {"origin"}:
            del insights["image"]


def _attributions(context: Context) -> Iterator[Json]:
    """Bind the rules found anywhere but in an entity to the part of the answer that they stand in."""
    for at, rules in context.rules.copy():
        for attribution in entities.attributions(rules, context, (at, "contractualRules")) or ():
            yield {**attribution, "about": path_text(at)}
