"""Lists of images: Images of /images/search and TrendingImages of /images/trending (reference 004)."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.service.findings import Item
from pipeline.service.http.imagesearch import Search
from pipeline.service.http.objects import Json, Links, image, present, query, unavailable
from pipeline.service.search.words import Hits

NO_SEARCHES = "no search that found anything has been made at this service lately"


def images(hits: Hits, asked: Search, links: Links) -> Json:
    """Make the answer of /images/search; nextOffset is given only where there is more."""
    end = asked.page.offset + len(hits.items)
    return present(
        {
            "_type": "Images",
            "readLink": links.search(asked.query),
            "totalEstimatedMatches": hits.total,
            "nextOffset": end if hits.items and end < hits.total else None,
            "value": [image(item, links) for item in hits.items],
        }
    )


def trending_images(searches: Iterable[tuple[str, Item]], links: Links) -> Json:
    """Make the answer of /images/trending from searches made here, each with the first row it found."""
    tiles = [{"query": query(text, links), "image": image(item, links)} for text, item in searches]
    if not tiles:
        return {"_type": "TrendingImages", "categories": [], "unavailable": unavailable([("trending", NO_SEARCHES)])}
    return {"_type": "TrendingImages", "categories": [{"title": "Popular searches", "tiles": tiles}]}
