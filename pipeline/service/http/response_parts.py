"""The parts of both insights responses: the picture itself, and lists of pages, offers, pictures and searches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.service.findings import Findings, Item, Match, OfferGroup, SourcedCaption
from pipeline.service.http.json_objects import (
    Json,
    ServiceLinks,
    image,
    offer,
    omit_none,
    product,
    query,
    recipe,
    web_url,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseData:
    """Everything that an insights response is built from.

    `token` names the picture of the request, `size` is its size in bytes if it was uploaded, `related` are searches by
    others that led to it.
    """

    findings: Findings
    token: str
    size: int | None = None
    related: tuple[str, ...] = ()
    links: ServiceLinks = field(default_factory=ServiceLinks)


def pages(data: ResponseData) -> Json:
    """Return the pages with the same picture; an empty list if there are none (Visual Search response guide)."""
    return {"value": [image(match.item, data.links) for match in data.findings.same if web_url(match.item.page_url)]}


def offers(data: ResponseData) -> Json | None:
    """Return the offers, grouped by currency, the lowest price first."""
    all_offers = [offer(item) for group in data.findings.offers for item in group.items]
    return {"offers": all_offers} if all_offers else None


def sizes(findings: Findings) -> list[Item]:
    """Return one row for each size of the same picture, the largest first."""
    rows = {(item.width, item.height): item for item in (m.item for m in reversed(findings.same)) if item.width}
    return sorted(rows.values(), key=lambda item: -(item.width or 0) * (item.height or 0))


def source_image(data: ResponseData) -> Json:
    """Return the Image of the request's picture: its row of the catalogue, or else its own facts."""
    findings = data.findings
    counts = {
        "pagesIncludingCount": len([match for match in findings.same if web_url(match.item.page_url)]),
        "availableSizesCount": len(sizes(findings)),
        "shoppingSourcesCount": sum(len(group.items) for group in findings.offers) or None,
        "aggregateOffer": _aggregate_offer(findings.offers),
    }
    if findings.same:
        return {**image(findings.same[0].item, data.links, **counts), "accentColor": findings.accent_color}
    return omit_none(
        {
            "name": "",
            "contentSize": f"{data.size} B" if data.size is not None else None,
            "encodingFormat": findings.format,
            "width": findings.width,
            "height": findings.height,
            "insightsMetadata": omit_none(counts),
            "accentColor": findings.accent_color,
        }
    )


def images(matches: Iterable[Match], links: ServiceLinks) -> list[Json]:
    """Return an Image for each row."""
    return [image(match.item, links) for match in matches]


def products(matches: Iterable[Match], links: ServiceLinks) -> list[Json]:
    """Return a ProductSummaryImage for each row."""
    return [product(match.item, links) for match in matches]


def queries(searches: Iterable[str], links: ServiceLinks) -> Json | None:
    """Return a list of Query objects; None if it would be empty."""
    value = [query(text, links) for text in searches]
    return {"value": value} if value else None


def related_searches(data: ResponseData) -> Json | None:
    """Return the searches by others that led to this picture."""
    return queries(data.related, data.links)


def recipes(data: ResponseData) -> Json | None:
    """Return the recipes of the rows with the same picture."""
    value = [recipe(match.item) for match in data.findings.same if match.item.recipe]
    return {"value": value} if value else None


def image_caption(caption: SourcedCaption | None) -> Json | None:
    """Return an ImageCaption; None without a page, because a caption must name its source.

    Source: Image Search reference, ImageCaption.
    """
    url = web_url(caption.source_url) if caption is not None else None
    if caption is None or url is None:
        return None
    return {"caption": caption.text, "dataSourceUrl": url, "relatedSearches": []}


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
