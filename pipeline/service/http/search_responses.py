"""Lists of images: Images of /images/search and TrendingImages of /images/trending (Image Search reference)."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.service.findings import Item
from pipeline.service.http.json_objects import Json, ServiceLinks, omit_none, query, unavailable
from pipeline.service.http.response_parts import SameRows, listed_image
from pipeline.service.search.query import SearchQuery
from pipeline.service.search.suggestions import SuggestedSearch, Suggestions
from pipeline.service.search.word_index import SearchHits

NO_SEARCHES = "no search with results has been made at this service lately"


def images_response(
    hits: SearchHits,
    search: SearchQuery,
    links: ServiceLinks,
    same_rows: SameRows,
    suggestions: Suggestions | None = None,
) -> Json:
    """Return the response of /images/search; nextOffset is present only if there are more results."""
    suggestions = suggestions or Suggestions()
    end = search.page.offset + len(hits.items)
    return omit_none(
        {
            "_type": "Images",
            "webSearchUrl": links.search_page(search.text),
            "readLink": links.search(search.text),
            "totalEstimatedMatches": hits.total,
            "nextOffset": end if hits.items and end < hits.total else None,
            "queryExpansions": _queries(suggestions.expansions, links) or None,
            "similarTerms": _queries(suggestions.similar, links) or None,
            "pivotSuggestions": [
                {"pivot": pivot, "suggestions": _queries(searches, links)} for pivot, searches in suggestions.pivots
            ]
            or None,
            "value": [listed_image(item, links, same_rows) for item in hits.items],
        }
    )


def _queries(searches: Iterable[SuggestedSearch], links: ServiceLinks) -> list[Json]:
    """Return each search; the displayText is what is new in it (Image Search reference, Query)."""
    return [{**query(each.text, links, each.token), "displayText": each.display} for each in searches]


def trending_response(searches: Iterable[tuple[str, Item]], links: ServiceLinks, same_rows: SameRows) -> Json:
    """Return the response of /images/trending from searches made here, each with its first row."""
    tiles = [
        {"query": query(text, links, item.token), "image": listed_image(item, links, same_rows)}
        for text, item in searches
    ]
    if not tiles:
        return {"_type": "TrendingImages", "categories": [], "unavailable": unavailable([("trending", NO_SEARCHES)])}
    return {"_type": "TrendingImages", "categories": [{"title": "Popular searches", "tiles": tiles}]}
