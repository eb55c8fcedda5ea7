"""Findings become ImageKnowledge (references 002 and 003) and ImageInsights (001 and 004)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.service.details import Details
from pipeline.service.findings import Caption, Findings, Item, Match, OfferGroup, TagGuess
from pipeline.service.objects import (
    Json,
    Links,
    bounding_box,
    dominant_colors,
    image,
    offer,
    present,
    product,
    query,
    recipe,
    recognition,
    text_tag,
    unavailable,
)
from pipeline.service.text.values import around
from pipeline.service.visualsearch import VisualSearch
from pipeline.service.wire import DEFAULT_COUNT, Page

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that one answer is made from: `token` names the picture asked about, `related` are searches by others."""

    findings: Findings
    token: str
    bytes: int | None = None
    related: tuple[str, ...] = ()
    links: Links = field(default_factory=Links)


def image_knowledge(known: Known, asked: VisualSearch) -> Json:
    """Make the answer of /images/visualsearch."""
    actions = _default_actions(known, asked.page)
    if asked.skill:
        wanted = "VisualSearch" if asked.skill == "SimilarImages" else "ProductVisualSearch"
        return _knowledge([{"displayName": "", "actions": [a for a in actions if a["actionType"] == wanted]}], known)
    tags = [*(_tag(guess, known.links) for guess in known.findings.tags), *_text_tags(known.findings)]
    extensions = {
        "dominantColors": dominant_colors(known.findings.dominant_colors),
        "imageCaption": _caption(known.findings.caption),
        "unavailable": unavailable(_unavailable(known)),
    }
    return {**_knowledge([{"displayName": "", "actions": actions}, *tags], known), **present(extensions)}


def image_insights(known: Known, asked: Details) -> Json:
    """Make the answer of /images/details; a module without data has no member (reference 004, modules)."""
    members = {module: make(known) for module, make in _MODULES.items() if module in asked.modules}
    if asked.query is None:
        members.pop("RelatedSearches", None)
    kinds = {_KINDS[module] for module in asked.modules}
    reasons = [(kind, why) for kind, why in _unavailable(known) if asked.everything or kind in kinds]
    return {
        "_type": "ImageInsights",
        "imageInsightsToken": known.token,
        **{_MEMBERS[module]: value for module, value in members.items() if value},
        "image": _source_image(known),
        "dominantColors": dominant_colors(known.findings.dominant_colors),
        "unavailable": unavailable(reasons),
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
        _action("PagesIncluding", "ImageModuleAction", _pages(known)),
        _action("ShoppingSources", "ImageShoppingSourcesAction", _offers(known)),
        _more_sizes(known),
        _action("VisualSearch", "ImageModuleAction", _paged(_images(found.alike, links), page)),
        {"image": _source_image(known), "actionType": "ImageById"},
        _action("ProductVisualSearch", "ImageModuleAction", _paged(_products(found.products, links), page)),
        _action("RelatedSearches", "ImageRelatedSearchesAction", _related(known)),
        _action("DocumentLevelSuggestions", "ImageRelatedSearchesAction", _queries(found.suggestions, links)),
        _best_query(found.best_query, links),
        _action("Recipes", "ImageRecipesAction", _recipes(known)),
    ]
    return [action for action in actions if action is not None]


def _action(action_type: str, kind: str, data: Json | None) -> Json | None:
    return {"_type": kind, "actionType": action_type, "data": data} if data is not None else None


def _best_query(words: str | None, links: Links) -> Json | None:
    if words is None:
        return None
    return present({"displayName": words, "serviceUrl": links.search(words), "actionType": "BestRepresentativeQuery"})


def _pages(known: Known) -> Json:
    """List the pages that show this very picture; an empty list where none does (reference 003)."""
    return {"value": [image(match.item, known.links) for match in known.findings.same if match.item.page_url]}


def _offers(known: Known) -> Json | None:
    """List the offers: those of one currency together, its lowest price first."""
    offers = [offer(item) for group in known.findings.offers for item in group.items]
    return {"offers": offers} if offers else None


def _sizes(findings: Findings) -> list[Item]:
    """Return one row for each size of the same picture, the largest first."""
    rows = {(item.width, item.height): item for item in (m.item for m in reversed(findings.same)) if item.width}
    return sorted(rows.values(), key=lambda item: -(item.width or 0) * (item.height or 0))


def _more_sizes(known: Known) -> Json | None:
    """Name the picture in its own size, and the catalogue's rows that have it in others."""
    found = known.findings
    if not found.same:
        return None
    source = found.same[0].item
    others = [item for item in _sizes(found) if (item.width, item.height) != (source.width, source.height)]
    data = {"_type": "ImageModuleAction", "data": {"value": [image(item, known.links) for item in others]}}
    return {**(data if others else {}), "actionType": "MoreSizes", "image": _source_image(known)}


def _source_image(known: Known) -> Json:
    """Describe the picture asked about: its row of the catalogue where there is one, else its own facts."""
    found = known.findings
    counts = {
        "pagesIncludingCount": len([match for match in found.same if match.item.page_url]),
        "availableSizesCount": len(_sizes(found)),
        "shoppingSourcesCount": sum(len(group.items) for group in found.offers) or None,
        "aggregateOffer": _aggregate_offer(found.offers),
    }
    if found.same:
        return {**image(found.same[0].item, known.links, **counts), "accentColor": found.accent_color}
    return present(
        {
            "name": "",
            "contentSize": f"{known.bytes} B" if known.bytes is not None else None,
            "encodingFormat": found.format,
            "width": found.width,
            "height": found.height,
            "insightsMetadata": present(counts),
            "accentColor": found.accent_color,
        }
    )


def _aggregate_offer(groups: Sequence[OfferGroup]) -> Json | None:
    """Sum up the offers where all have one currency; a lowest price over several currencies would be none."""
    if len(groups) != 1:
        return None
    [group] = groups
    return present({"priceCurrency": group.currency, "lowPrice": group.low_price, "offerCount": len(group.items)})


def _images(matches: Iterable[Match], links: Links) -> list[Json]:
    return [image(match.item, links) for match in matches]


def _products(matches: Iterable[Match], links: Links) -> list[Json]:
    return [product(match.item, links) for match in matches]


def _paged(values: Sequence[Json], page: Page) -> Json:
    """Cut one page; nextOffset is given only where there is more (reference 000, paging)."""
    end = page.offset + page.count
    data: Json = {
        "value": list(values[page.offset : end]),
        "currentOffset": page.offset,
        "totalEstimatedMatches": len(values),
    }
    return {**data, "nextOffset": end} if end < len(values) else data


def _queries(words: Iterable[str], links: Links) -> Json | None:
    value = [query(text, links) for text in words]
    return {"value": value} if value else None


def _related(known: Known) -> Json | None:
    return _queries(known.related, known.links)


def _recipes(known: Known) -> Json | None:
    value = [recipe(match.item) for match in known.findings.same if match.item.recipe]
    return {"value": value} if value else None


def _caption(caption: Caption | None) -> Json | None:
    """Make an ImageCaption; one without a page to attribute it to stays unsaid (reference 004, ImageCaption)."""
    if caption is None or not caption.source_url:
        return None
    return {"caption": caption.text, "dataSourceUrl": caption.source_url, "relatedSearches": []}


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


def _unavailable(known: Known) -> list[tuple[str, str]]:
    """Name what can't be known; searches by others are known from the service's own query log alone."""
    others = [(kind, why) for kind, why in known.findings.unavailable if kind != "related_searches"]
    return others if known.related else [*others, ("related_searches", "no search made here led to this picture")]


def _some(values: list[Json]) -> Json | None:
    return {"value": values} if values else None


_MODULES: dict[str, Any] = {
    "BRQ": lambda known: query(best, known.links) if (best := known.findings.best_query) else None,
    "Caption": lambda known: _caption(known.findings.caption),
    "Recipes": _recipes,
    "PagesIncluding": lambda known: _some(_pages(known)["value"]),
    "RelatedSearches": _related,
    "ShoppingSources": _offers,
    "SimilarImages": lambda known: _some(_images(known.findings.alike[:DEFAULT_COUNT], known.links)),
    "SimilarProducts": lambda known: _some(_products(known.findings.products[:DEFAULT_COUNT], known.links)),
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
