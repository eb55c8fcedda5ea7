"""A response as JSON-LD: the same members, a context that gives them their meaning, and the type of each object.

Source: Image Search reference, Accept. The context is schema.org, whose terms most members are; the others are terms of
the service's own.
"""

from __future__ import annotations

from typing import Any

MEDIA_TYPE = "application/ld+json"
CONTEXT = {"@vocab": "https://schema.org/"}

# The type of an object by the member that holds it, where its _type doesn't say so.
_TYPES = {
    "image": "ImageObject",
    "thumbnail": "ImageObject",
    "tiles": "ListItem",
    "seller": "Organization",
    "creator": "Person",
    "offers": "Offer",
    "aggregateOffer": "AggregateOffer",
    "shoppingSources": "AggregateOffer",
    "aggregateRating": "AggregateRating",
    "query": "SearchAction",
    "bestRepresentativeQuery": "SearchAction",
    "relatedSearches": "SearchAction",
    "recipes": "Recipe",
    "pagesIncluding": "ImageObject",
    "visuallySimilarImages": "ImageObject",
    "visuallySimilarProducts": "ImageObject",
}
# The type of the objects in `value`, by the _type of what holds the list.
_LISTS = {
    "Images": "ImageObject",
    "ImageModuleAction": "ImageObject",
    "ImageRelatedSearchesAction": "SearchAction",
    "ImageRecipesAction": "Recipe",
    "ImageShoppingSourcesAction": "Offer",
}


def json_ld(response: dict[str, Any]) -> dict[str, Any]:
    """Return a response as JSON-LD; its own members stay as they are."""
    return {"@context": CONTEXT, **_typed(response, None)}


def _typed(value: Any, kind: str | None) -> Any:
    """Return a value with the types of its objects; those that are in `value` lists are of the `kind`."""
    if isinstance(value, list):
        return [_typed(each, kind) for each in value]
    if not isinstance(value, dict):
        return value
    own = value.get("_type") or (None if "value" in value else kind)
    listed = _LISTS.get(value.get("_type", ""), kind if "value" in value else None)
    members = {name: _typed(each, _TYPES.get(name, listed)) for name, each in value.items()}
    return {"@type": own, **members} if own else members
