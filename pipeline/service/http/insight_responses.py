"""Builds ImageKnowledge and ImageInsights (Image Insights guide and Image Search reference) from findings.

Sources: Visual Search query and response guides.

The responses have four top-level members that the published protocol does not have, and that its clients ignore:

    "unavailable": [{"kind": "entities", "reason": "one sentence"}]   insights that this service can't give
    "dominantColors": [{"hex": "6F4E37", "share": 0.41}]              the largest first
    "duplicates": [{"id", "path", "kind", "score": 0.98, "sha256"}]   rows whose pictures are copies of this one
    "imageCaption": {"caption", "dataSourceUrl"}                      as in ImageInsights, for ImageKnowledge too

and a tag of ImageKnowledge has "confidence": 0..1 beside its documented members. With a quality hint, "unavailable"
says what is wrong with the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.service.findings import Findings, InferredTag, Match
from pipeline.service.http.details_request import DetailsRequest
from pipeline.service.http.json_objects import (
    Json,
    ServiceLinks,
    bounding_box,
    dominant_colors,
    duplicates,
    omit_none,
    query,
    text_recognition,
    text_tag,
    unavailable,
)
from pipeline.service.http.response_parts import (
    ResponseData,
    image_caption,
    images,
    listed_image,
    offers,
    pages,
    products,
    queries,
    recipes,
    related_searches,
    sizes,
    source_image,
    unavailable_reasons,
)
from pipeline.service.http.visual_search_request import VisualSearchRequest
from pipeline.service.search.query import DEFAULT_COUNT, PageRange
from pipeline.service.text.recognised_text import bounding_quad

HintCategory = Literal[
    "ImageByteSizeExceedsLimit", "ImageDimensionsExceedLimit", "ImageDownloadFailed", "UnknownFormat"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityHint:
    """Why there are no insights; `details` says more, such as what is wrong with the file."""

    category: HintCategory
    details: str | None = None


_NO_QUERY = ("related_searches", "the request has no query (q), which related searches need")
Listed = Callable[[Sequence[Match], ResponseData], list[Json]]

# The kind of `unavailable` that belongs to each module of /images/details.
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


def image_knowledge(data: ResponseData, request: VisualSearchRequest) -> Json:
    """Return the response of /images/visualsearch."""
    actions = _default_actions(data, request.page)
    if request.skill:
        wanted = "VisualSearch" if request.skill == "SimilarImages" else "ProductVisualSearch"
        return _knowledge([{"displayName": "", "actions": [a for a in actions if a["actionType"] == wanted]}], data)
    tags = [*(_tag(tag, data) for tag in data.findings.tags), *_text_tags(data.findings)]
    extensions = {
        "dominantColors": dominant_colors(data.findings.dominant_colors),
        "duplicates": duplicates(data.findings.duplicates),
        "imageCaption": image_caption(data),
        "unavailable": unavailable(unavailable_reasons(data)),
    }
    return {**_knowledge([{"displayName": "", "actions": actions}, *tags], data), **omit_none(extensions)}


def image_insights(data: ResponseData, request: DetailsRequest) -> Json:
    """Return the response of /images/details; a module without data has no member (Image Search reference, modules)."""
    modules = request.modules if request.query is not None else request.modules - {"RelatedSearches"}
    members = {name: build(data) for module, (name, build) in _MODULES.items() if module in modules}
    kinds = {_KINDS[module] for module in request.modules}
    known = [(kind, reason) for kind, reason in unavailable_reasons(data) if request.everything or kind in kinds]
    reasons = known
    if request.query is None and "RelatedSearches" in request.modules:
        reasons = [*((kind, reason) for kind, reason in known if kind != "related_searches"), _NO_QUERY]
    return {
        "_type": "ImageInsights",
        "imageInsightsToken": data.token,
        **omit_none(members),
        "image": source_image(data),
        "dominantColors": dominant_colors(data.findings.dominant_colors),
        "duplicates": duplicates(data.findings.duplicates),
        "unavailable": unavailable(reasons),
    }


def quality_hint(response_type: Literal["ImageKnowledge", "ImageInsights"], hint: QualityHint) -> Json:
    """Return the 200 response that says why there are no insights (seen in recorded traffic)."""
    tags: Json = {"tags": []} if response_type == "ImageKnowledge" else {}
    details: Json = {"unavailable": unavailable([("picture", hint.details)])} if hint.details else {}
    return {"_type": response_type, **tags, "imageQualityHints": [{"category": hint.category}], **details}


def _knowledge(tags: list[Json], data: ResponseData) -> Json:
    return {"_type": "ImageKnowledge", "tags": tags, "image": {"imageInsightsToken": data.token}}


def _default_actions(data: ResponseData, page: PageRange) -> list[Json]:
    findings = data.findings
    actions: list[Json | None] = [
        _action("PagesIncluding", "ImageModuleAction", pages(data)),
        _action("ShoppingSources", "ImageShoppingSourcesAction", offers(data)),
        _more_sizes(data),
        _action("VisualSearch", "ImageModuleAction", _paged(findings.similar, page, images, data)),
        {"image": source_image(data), "actionType": "ImageById"},
        _action("ProductVisualSearch", "ImageModuleAction", _paged(findings.products, page, products, data)),
        _action("RelatedSearches", "ImageRelatedSearchesAction", related_searches(data)),
        _action("DocumentLevelSuggestions", "ImageRelatedSearchesAction", queries(findings.suggestions, data)),
        _best_query_action(findings.best_query, data.links),
        _action("Recipes", "ImageRecipesAction", recipes(data)),
    ]
    return [action for action in actions if action is not None]


def _action(action_type: str, object_type: str, data: Json | None) -> Json | None:
    return {"_type": object_type, "actionType": action_type, "data": data} if data is not None else None


def _best_query_action(best: str | None, links: ServiceLinks) -> Json | None:
    if best is None:
        return None
    return _link("BestRepresentativeQuery", best, links, links.search(best))


def _link(action_type: str, words: str, links: ServiceLinks, service_url: str | None) -> Json:
    """Return an action that leads to a search."""
    return omit_none(
        {
            "webSearchUrl": links.search_page(words),
            "displayName": words,
            "serviceUrl": service_url,
            "actionType": action_type,
        }
    )


def _more_sizes(data: ResponseData) -> Json | None:
    """Return the action with the picture in its own size, and the rows of the catalogue with it in other sizes."""
    if not data.findings.same:
        return None
    source = data.findings.same[0].item
    rows = [match.item for match in data.findings.same]
    others = [item for item in sizes(rows) if (item.width, item.height) != (source.width, source.height)]
    value = [listed_image(item, data.links, data.same_rows) for item in others]
    list_of_others = {"_type": "ImageModuleAction", "data": {"value": value}}
    return {**(list_of_others if others else {}), "actionType": "MoreSizes", "image": source_image(data)}


def _paged(matches: Sequence[Match], page: PageRange, listed: Listed, data: ResponseData) -> Json:
    """Return one page of a list; nextOffset is present only if there are more values (Visual Search guide, paging)."""
    end = page.offset + page.count
    part: Json = {
        "value": listed(page.of(matches), data),
        "currentOffset": page.offset,
        "totalEstimatedMatches": len(matches),
    }
    return {**part, "nextOffset": end} if end < len(matches) else part


def _tag(tag: InferredTag, data: ResponseData) -> Json:
    """Return a tag with its two links; there is no web search, to which the serviceUrl of TextResults would lead."""
    links, thumbnail = data.links, data.links.thumbnail(data.pictures.get(tag.name))
    return {
        **({"image": {"thumbnailUrl": thumbnail}} if thumbnail else {}),
        "displayName": tag.name,
        "boundingBox": bounding_box(tag.box),
        "actions": [
            *([_link("TextResults", tag.name, links, None)] if links.base else []),
            _link("ImageResults", tag.name, links, links.search(tag.name)),
        ],
        "sources": ["Catalogue"],
        "confidence": tag.confidence,
    }


def _text_tags(findings: Findings) -> Iterator[Json]:
    """Yield a tag with all text, also in the older form (Visual Search query guide), and then one for each address."""
    if findings.text is not None and findings.text.regions:
        older = {"displayName": findings.text.full, "actionType": "TextResults"}
        box = bounding_quad([region.box for region in findings.text.regions])
        yield text_tag(box, [text_recognition(findings.text), older])
    for uri in findings.uris:
        yield text_tag(uri.box, [{"url": uri.address, "actionType": "Uri"}])


def _best_query(data: ResponseData) -> Json | None:
    best = data.findings.best_query
    return query(best, data.links, data.pictures.get(best)) if best else None


def _list_or_none(values: list[Json]) -> Json | None:
    return {"value": values} if values else None


# Module of the request -> its member of the response, and the function that builds it.
_MODULES: dict[str, tuple[str, Callable[[ResponseData], Json | None]]] = {
    "BRQ": ("bestRepresentativeQuery", _best_query),
    "Caption": ("imageCaption", image_caption),
    "Recipes": ("recipes", recipes),
    "PagesIncluding": ("pagesIncluding", lambda data: _list_or_none(pages(data)["value"])),
    "RelatedSearches": ("relatedSearches", related_searches),
    "ShoppingSources": ("shoppingSources", offers),
    "SimilarImages": (
        "visuallySimilarImages",
        lambda data: _list_or_none(images(data.findings.similar[:DEFAULT_COUNT], data)),
    ),
    "SimilarProducts": (
        "visuallySimilarProducts",
        lambda data: _list_or_none(products(data.findings.products[:DEFAULT_COUNT], data)),
    ),
    "Tags": ("imageTags", lambda data: _list_or_none([{"name": tag.name} for tag in data.findings.tags])),
}
