"""The parts of both insights responses: the picture itself, and lists of pages, offers, pictures and searches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.service.engine.derived_insights import group_offers
from pipeline.service.findings import Findings, Item, Match, OfferGroup
from pipeline.service.http.json_objects import (
    Json,
    ServiceLinks,
    image,
    offer,
    omit_none,
    query,
    rating,
    recipe,
    web_url,
)

_WORD = re.compile(r"\w+")
SameRows = Mapping[int, tuple[Item, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseData:
    """Everything that an insights response is built from.

    `token` names the picture of the request, `size` is its size in bytes if it was uploaded, `related` are searches by
    others that led to it. `same_rows` has the rows with the same picture for the number of each row that is listed,
    `pictures` the token of a picture for the words of tags and searches.
    """

    findings: Findings
    token: str
    size: int | None = None
    related: tuple[str, ...] = ()
    links: ServiceLinks = field(default_factory=ServiceLinks)
    same_rows: SameRows = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)


def pages(data: ResponseData) -> Json:
    """Return the pages with the same picture; an empty list if there are none (Visual Search response guide)."""
    return {"value": images([match for match in data.findings.same if web_url(match.item.page_url)], data)}


def offers(data: ResponseData) -> Json | None:
    """Return the offers, grouped by currency, the lowest price first."""
    all_offers = [offer(item) for group in data.findings.offers for item in group.items]
    return {"offers": all_offers} if all_offers else None


def sizes(rows: Sequence[Item]) -> list[Item]:
    """Return one row for each size of the same picture, the largest first."""
    by_size = {(item.width, item.height): item for item in reversed(rows) if item.width}
    return sorted(by_size.values(), key=lambda item: -(item.width or 0) * (item.height or 0))


def counts(rows: Sequence[Item]) -> Json:
    """Return how much there is to follow from a picture that these rows show (Image Search reference)."""
    return {
        "pagesIncludingCount": len([item for item in rows if web_url(item.page_url)]),
        "availableSizesCount": len(sizes(rows)),
        "shoppingSourcesCount": len([item for item in rows if item.price is not None]),
        "recipeSourcesCount": len([item for item in rows if item.recipe]),
    }


def source_image(data: ResponseData) -> Json:
    """Return the Image of the request's picture: its row of the catalogue, or else its own facts."""
    findings = data.findings
    rows = [match.item for match in findings.same]
    metadata = omit_none({**counts(rows), "aggregateOffer": _aggregate_offer(findings.offers)})
    if rows:
        return {**image(rows[0], data.links, metadata), "accentColor": findings.accent_color}
    return omit_none(
        {
            "name": "",
            "contentSize": f"{data.size} B" if data.size is not None else None,
            "encodingFormat": findings.format,
            "width": findings.width,
            "height": findings.height,
            "insightsMetadata": metadata,
            "accentColor": findings.accent_color,
        }
    )


def listed_image(item: Item, links: ServiceLinks, same_rows: SameRows) -> Json:
    """Return the Image of a row in a list, with the counts of its picture."""
    return image(item, links, counts(same_rows.get(item.number, (item,))))


def images(matches: Iterable[Match], data: ResponseData) -> list[Json]:
    """Return an Image for each row."""
    return [listed_image(match.item, data.links, data.same_rows) for match in matches]


def products(matches: Iterable[Match], data: ResponseData) -> list[Json]:
    """Return an Image for each row, with its offers and a summary of them.

    Source: Visual Search response guide, ProductVisualSearch.
    """
    return [_product(match.item, data) for match in matches]


def _product(item: Item, data: ResponseData) -> Json:
    rows = data.same_rows.get(item.number, (item,))
    groups = group_offers(rows)
    named = {"name": item.title, "aggregateRating": rating(item.rating)}
    # With several currencies, the summary has a list of summaries.
    listed = {"offers": [offer(each) for each in groups[0].items]} if len(groups) == 1 else {}
    summary = omit_none({**named, **(_aggregate_offer(groups) or {}), **listed})
    return image(item, data.links, {**counts(rows), "aggregateOffer": summary})


def queries(searches: Iterable[str], data: ResponseData) -> Json | None:
    """Return a list of Query objects; None if it would be empty."""
    value = [query(text, data.links, data.pictures.get(text)) for text in searches]
    return {"value": value} if value else None


def related_searches(data: ResponseData) -> Json | None:
    """Return the searches by others that led to this picture."""
    return queries(data.related, data)


def recipes(data: ResponseData) -> Json | None:
    """Return the recipes of the rows with the same picture."""
    value = [recipe(match.item, data.links) for match in data.findings.same if match.item.recipe]
    return {"value": value} if value else None


def image_caption(data: ResponseData) -> Json | None:
    """Return an ImageCaption, with the tags that are in it; None without a page, because it must name its source.

    Source: Image Search reference, ImageCaption.
    """
    caption = data.findings.caption
    url = web_url(caption.source_url) if caption is not None else None
    if caption is None or url is None:
        return None
    words = f" {' '.join(_WORD.findall(caption.text.casefold()))} "
    named = [tag.name for tag in data.findings.tags if f" {' '.join(_WORD.findall(tag.name.casefold()))} " in words]
    searches = [query(name, data.links, data.pictures.get(name)) for name in named]
    return {"caption": caption.text, "dataSourceUrl": url, "relatedSearches": searches}


def unavailable_reasons(data: ResponseData) -> list[tuple[str, str]]:
    """Return (kind, reason) for what is unavailable; related searches depend on the service's query log only."""
    others = [(kind, reason) for kind, reason in data.findings.unavailable if kind != "related_searches"]
    return others if data.related else [*others, ("related_searches", "no search made here led to this picture")]


def _aggregate_offer(groups: Sequence[OfferGroup]) -> Json | None:
    """Return a summary of the offers; with several currencies, one for each, because they have no common lowest price.

    An AggregateOffer is an Offer in Microsoft's own model, so it may be one of the `offers` of another.
    """
    if len(groups) <= 1:
        return _summarise(groups[0]) if groups else None
    summaries = [{"_type": "AggregateOffer", **_summarise(group)} for group in groups]
    return {"offerCount": sum(len(group.items) for group in groups), "offers": summaries}


def _summarise(group: OfferGroup) -> Json:
    return omit_none({"priceCurrency": group.currency, "lowPrice": group.low_price, "offerCount": len(group.items)})
