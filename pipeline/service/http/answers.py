"""Findings become ImageKnowledge (references 002 and 003) and ImageInsights (001 and 004)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pipeline.service.findings import Findings, TagGuess
from pipeline.service.http.details import Details
from pipeline.service.http.members import (
    Known,
    image_caption,
    images,
    offers,
    pages,
    products,
    queries,
    reasons,
    recipes,
    related_searches,
    sizes,
    source_image,
)
from pipeline.service.http.objects import (
    Json,
    Links,
    bounding_box,
    dominant_colors,
    image,
    present,
    query,
    recognition,
    text_tag,
    unavailable,
)
from pipeline.service.http.visualsearch import VisualSearch
from pipeline.service.http.wire import DEFAULT_COUNT, Page
from pipeline.service.text.values import around

Hint = Literal["ImageByteSizeExceedsLimit", "ImageDimensionsExceedLimit", "ImageDownloadFailed", "UnknownFormat"]

# The kinds of `unavailable` that belong to a module of /images/details.
_KINDS = {
    "BRQ": "best_query",
    "Caption": "caption",
    "Collections": "collections",
    "Recipes": "recipes",
    "PagesIncluding": "pages",
    "RecognizedEntities": "entities",
    "RelatedSearches": "related_searches",
    "ShoppingSources": "offers",
    "SimilarImages": "similar_images",
    "SimilarProducts": "similar_products",
    "Tags": "tags",
}


def image_knowledge(known: Known, asked: VisualSearch) -> Json:
    """Make the answer of /images/visualsearch."""
    actions = _default_actions(known, asked.page)
    if asked.skill:
        wanted = "VisualSearch" if asked.skill == "SimilarImages" else "ProductVisualSearch"
        return _knowledge([{"displayName": "", "actions": [a for a in actions if a["actionType"] == wanted]}], known)
    tags = [*(_tag(guess, known.links) for guess in known.findings.tags), *_text_tags(known.findings)]
    extensions = {
        "dominantColors": dominant_colors(known.findings.dominant_colors),
        "imageCaption": image_caption(known.findings.caption),
        "unavailable": unavailable(reasons(known)),
    }
    return {**_knowledge([{"displayName": "", "actions": actions}, *tags], known), **present(extensions)}


def image_insights(known: Known, asked: Details) -> Json:
    """Make the answer of /images/details; a module without data has no member (reference 004, modules)."""
    members = {module: make(known) for module, make in _MODULES.items() if module in asked.modules}
    if asked.query is None:
        members.pop("RelatedSearches", None)
    kinds = {_KINDS[module] for module in asked.modules}
    unknown = [(kind, why) for kind, why in reasons(known) if asked.everything or kind in kinds]
    return {
        "_type": "ImageInsights",
        "imageInsightsToken": known.token,
        **{_MEMBERS[module]: value for module, value in members.items() if value},
        "image": source_image(known),
        "dominantColors": dominant_colors(known.findings.dominant_colors),
        "unavailable": unavailable(unknown),
    }


def quality_hint(kind: Literal["ImageKnowledge", "ImageInsights"], hint: Hint) -> Json:
    """Make the success that is none: a 200 that says why there are no insights (reference: recorded traffic)."""
    tags: Json = {"tags": []} if kind == "ImageKnowledge" else {}
    return {"_type": kind, **tags, "imageQualityHints": [{"category": hint}]}


def _knowledge(tags: list[Json], known: Known) -> Json:
    return {"_type": "ImageKnowledge", "tags": tags, "image": {"imageInsightsToken": known.token}}


def _default_actions(known: Known, page: Page) -> list[Json]:
    found, links = known.findings, known.links
    actions: list[Json | None] = [
        _action("PagesIncluding", "ImageModuleAction", pages(known)),
        _action("ShoppingSources", "ImageShoppingSourcesAction", offers(known)),
        _more_sizes(known),
        _action("VisualSearch", "ImageModuleAction", _paged(images(found.alike, links), page)),
        {"image": source_image(known), "actionType": "ImageById"},
        _action("ProductVisualSearch", "ImageModuleAction", _paged(products(found.products, links), page)),
        _action("RelatedSearches", "ImageRelatedSearchesAction", related_searches(known)),
        _action("DocumentLevelSuggestions", "ImageRelatedSearchesAction", queries(found.suggestions, links)),
        _best_query(found.best_query, links),
        _action("Recipes", "ImageRecipesAction", recipes(known)),
    ]
    return [action for action in actions if action is not None]


def _action(action_type: str, kind: str, data: Json | None) -> Json | None:
    return {"_type": kind, "actionType": action_type, "data": data} if data is not None else None


def _best_query(words: str | None, links: Links) -> Json | None:
    if words is None:
        return None
    return present({"displayName": words, "serviceUrl": links.search(words), "actionType": "BestRepresentativeQuery"})


def _more_sizes(known: Known) -> Json | None:
    """Name the picture in its own size, and the catalogue's rows that have it in others."""
    found = known.findings
    if not found.same:
        return None
    source = found.same[0].item
    others = [item for item in sizes(found) if (item.width, item.height) != (source.width, source.height)]
    data = {"_type": "ImageModuleAction", "data": {"value": [image(item, known.links) for item in others]}}
    return {**(data if others else {}), "actionType": "MoreSizes", "image": source_image(known)}


def _paged(values: Sequence[Json], page: Page) -> Json:
    """Cut one page; nextOffset is given only where there is more (reference 000, paging)."""
    end = page.offset + page.count
    data: Json = {
        "value": list(values[page.offset : end]),
        "currentOffset": page.offset,
        "totalEstimatedMatches": len(values),
    }
    return {**data, "nextOffset": end} if end < len(values) else data


def _tag(guess: TagGuess, links: Links) -> Json:
    action = present({"displayName": guess.name, "serviceUrl": links.search(guess.name), "actionType": "ImageResults"})
    return {
        "displayName": guess.name,
        "boundingBox": bounding_box(guess.box),
        "actions": [action],
        "sources": ["Catalogue"],
        "confidence": guess.confidence,
    }


def _text_tags(found: Findings) -> Iterator[Json]:
    """Make the tags of what is written: all of it, in the older form too (reference 002), then each address."""
    if found.text is not None and found.text.regions:
        whole = {"displayName": found.text.full, "actionType": "TextResults"}
        yield text_tag(around([region.box for region in found.text.regions]), [recognition(found.text), whole])
    for uri in found.uris:
        yield text_tag(uri.box, [{"url": uri.address, "actionType": "Uri"}])


def _some(values: list[Json]) -> Json | None:
    return {"value": values} if values else None


_MODULES: dict[str, Any] = {
    "BRQ": lambda known: query(best, known.links) if (best := known.findings.best_query) else None,
    "Caption": lambda known: image_caption(known.findings.caption),
    "Recipes": recipes,
    "PagesIncluding": lambda known: _some(pages(known)["value"]),
    "RelatedSearches": related_searches,
    "ShoppingSources": offers,
    "SimilarImages": lambda known: _some(images(known.findings.alike[:DEFAULT_COUNT], known.links)),
    "SimilarProducts": lambda known: _some(products(known.findings.products[:DEFAULT_COUNT], known.links)),
    "Tags": lambda known: _some([{"name": guess.name} for guess in known.findings.tags]),
}
_MEMBERS = {
    "BRQ": "bestRepresentativeQuery",
    "Caption": "imageCaption",
    "Recipes": "recipes",
    "PagesIncluding": "pagesIncluding",
    "RelatedSearches": "relatedSearches",
    "ShoppingSources": "shoppingSources",
    "SimilarImages": "visuallySimilarImages",
    "SimilarProducts": "visuallySimilarProducts",
    "Tags": "imageTags",
}
