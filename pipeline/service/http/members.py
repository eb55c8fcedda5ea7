"""What both kinds of answer are made of: the picture itself, and lists of pages, offers, pictures and searches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.service.findings import Caption, Findings, Item, Match, OfferGroup
from pipeline.service.http.objects import Json, Links, image, offer, present, product, query, recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that one answer is made from: `token` names the picture asked about, `related` are searches by others."""

    findings: Findings
    token: str
    bytes: int | None = None
    related: tuple[str, ...] = ()
    links: Links = field(default_factory=Links)


def pages(known: Known) -> Json:
    """List the pages that show this very picture; an empty list where none does (reference 003)."""
    return {"value": [image(match.item, known.links) for match in known.findings.same if match.item.page_url]}


def offers(known: Known) -> Json | None:
    """List the offers: those of one currency together, its lowest price first."""
    found = [offer(item) for group in known.findings.offers for item in group.items]
    return {"offers": found} if found else None


def sizes(findings: Findings) -> list[Item]:
    """Return one row for each size of the same picture, the largest first."""
    rows = {(item.width, item.height): item for item in (m.item for m in reversed(findings.same)) if item.width}
    return sorted(rows.values(), key=lambda item: -(item.width or 0) * (item.height or 0))


def source_image(known: Known) -> Json:
    """Describe the picture asked about: its row of the catalogue where there is one, else its own facts."""
    found = known.findings
    counts = {
        "pagesIncludingCount": len([match for match in found.same if match.item.page_url]),
        "availableSizesCount": len(sizes(found)),
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


def images(matches: Iterable[Match], links: Links) -> list[Json]:
    """Make an Image of each row."""
    return [image(match.item, links) for match in matches]


def products(matches: Iterable[Match], links: Links) -> list[Json]:
    """Make a ProductSummaryImage of each row."""
    return [product(match.item, links) for match in matches]


def queries(words: Iterable[str], links: Links) -> Json | None:
    """List searches; None where there are none."""
    value = [query(text, links) for text in words]
    return {"value": value} if value else None


def related_searches(known: Known) -> Json | None:
    """List the searches by others that led to this picture."""
    return queries(known.related, known.links)


def recipes(known: Known) -> Json | None:
    """List the recipes among the rows of this very picture."""
    value = [recipe(match.item) for match in known.findings.same if match.item.recipe]
    return {"value": value} if value else None


def image_caption(caption: Caption | None) -> Json | None:
    """Make an ImageCaption; one without a page to attribute it to stays unsaid (reference 004, ImageCaption)."""
    if caption is None or not caption.source_url:
        return None
    return {"caption": caption.text, "dataSourceUrl": caption.source_url, "relatedSearches": []}


def reasons(known: Known) -> list[tuple[str, str]]:
    """Name what can't be known; searches by others are known from the service's own query log alone."""
    others = [(kind, why) for kind, why in known.findings.unavailable if kind != "related_searches"]
    return others if known.related else [*others, ("related_searches", "no search made here led to this picture")]


def _aggregate_offer(groups: Sequence[OfferGroup]) -> Json | None:
    """Sum up the offers; those of several currencies by currency, for no lowest price holds for all of them.

    An AggregateOffer is an Offer in Microsoft's own model, so it may stand in the `offers` of another one.
    """
    if len(groups) <= 1:
        return _sum(groups[0]) if groups else None
    sums = [{"_type": "AggregateOffer", **_sum(group)} for group in groups]
    return {"offerCount": sum(len(group.items) for group in groups), "offers": sums}


def _sum(group: OfferGroup) -> Json:
    return present({"priceCurrency": group.currency, "lowPrice": group.low_price, "offerCount": len(group.items)})
