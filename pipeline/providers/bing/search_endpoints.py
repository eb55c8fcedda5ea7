"""Image Search and Trending Images, whose images become rows: requests and responses (Image Search reference)."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from pipeline.providers.bing.common_objects import image, query
from pipeline.providers.bing.common_parameters import headers, shared_query, target
from pipeline.providers.bing.error_bodies import classify_error, is_error
from pipeline.providers.bing.filters import ImageSearch
from pipeline.providers.bing.insights_reader import unavailable
from pipeline.providers.bing.read import unreadable
from pipeline.providers.bing.settings import QuerySettings
from pipeline.providers.bing.shapes import Context, Json, JsonPath, Shape
from pipeline.providers.json_body import parse_json
from pipeline.records import Answer, Page, Problem, Request, SearchHit
from pipeline.schema import ImageRef, Origin, Query, SearchSummary, no_summary

SEARCH = "/images/search"
TRENDING = "/images/trending"
SOURCES = (SEARCH, TRENDING)
MAX_COUNT = 150  # images in one response


def search_request(search: ImageSearch, settings: QuerySettings, endpoint: str, offset: int, have: int) -> Request:
    """Build the request for the images from `offset` on; `have` images are there already. Raises RequestError."""
    count = min(MAX_COUNT, max(1, search.count - have))
    pairs = (*search.query(), ("count", str(count)), ("offset", str(offset)), *shared_query(settings, settings.market))
    return Request(method="GET", target=target(endpoint, SEARCH, pairs), form="url", headers=headers(settings))


def trending_request(settings: QuerySettings, endpoint: str) -> Request:
    """Build the request for the images that are trending in the configured market."""
    pairs = shared_query(settings, settings.market)
    return Request(method="GET", target=target(endpoint, TRENDING, pairs), form="url", headers=headers(settings))


def read_search_page(answer: Answer, *, origin: Origin, url_chars: int) -> Page | Problem:
    """Read a response of either endpoint; never raises, whatever its bytes are.

    A problem of kind `row` becomes `misconfigured`, since all parameters of a search come from the config.
    """
    document = parse_json(answer.body)
    is_page = type(document) is dict and not {"value", "categories"}.isdisjoint(document)
    if not 200 <= answer.status < 300 or (not is_page and is_error(document)):
        problem = classify_error(answer, document, is_from_row=lambda _parameter: False, url_chars=url_chars)
        return replace(problem, kind="misconfigured") if problem.kind == "row" else problem
    if not is_page:
        return unreadable(answer, document)
    context = Context(origin)
    fields = _PAGE.read(document, context, None)
    hits, categories = fields.pop("images", []), fields.pop("categories", [])
    tiles = [(category["title"], tile) for category in categories for tile in category["tiles"]]
    hits += [_as_hit(tile.get("image", {}), title, tile.get("query")) for title, tile in tiles]
    next_offset = fields.pop("next_offset", None)
    fields["categories"] = [
        {"title": each["title"], "queries": [tile["query"] for tile in each["tiles"] if "query" in tile]}
        for each in categories
    ]
    summary = cast("SearchSummary", {**no_summary(), **fields, "other": context.other})
    return Page(images=tuple(hits), next_offset=next_offset, summary=summary)


def _search_hit(source: Json, context: Context, path: JsonPath) -> SearchHit:
    return _as_hit(image(source, context, path))


def _as_hit(ref: Json, category: str = "", trending_query: Json | None = None) -> SearchHit:
    token, url = ref.get("insights_token", ""), ref.get("content_url", "")
    return SearchHit(
        id=ref.get("image_id") or token or url,
        token=token,
        content_url=url,
        name=ref.get("name", ""),
        host_page_url=ref.get("host_page_url", ""),
        image=cast("ImageRef", ref),
        category=category,
        query=cast("Query | None", trending_query),
    )


def _pivot(source: Json, context: Context, path: JsonPath) -> Json:
    return {"text": "", "suggestions": [], **_PIVOT.read(source, context, path)}


def _category(source: Json, context: Context, path: JsonPath) -> Json:
    return {"title": "", "tiles": [], **_CATEGORY.read(source, context, path)}


_PIVOT = Shape({"pivot": ("text", str)}, lists={"suggestions": ("suggestions", query)})
_TILE = Shape(objects={"image": ("image", image), "query": ("query", query)})
_CATEGORY = Shape({"title": ("title", str)}, lists={"tiles": ("tiles", _TILE.read)})
_PAGE = Shape(
    {
        "nextOffset": ("next_offset", int),
        "totalEstimatedMatches": ("total", int),
        "webSearchUrl": ("web_search_url", str),
        "readLink": ("read_link", str),
    },
    lists={
        "value": ("images", _search_hit),
        "queryExpansions": ("expansions", query),
        "similarTerms": ("similar_terms", query),
        "relatedSearches": ("related_searches", query),
        "pivotSuggestions": ("pivots", _pivot),
        "categories": ("categories", _category),
        "unavailable": ("unavailable", unavailable),
    },
    dropped=("instrumentation",),
)
