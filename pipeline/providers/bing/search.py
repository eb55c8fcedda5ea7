"""Image Search and Trending Images as sources of rows: requests, and their answers as small values (reference 004)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

from pipeline.providers.bing.errors import answer_problem, is_error
from pipeline.providers.bing.filters import ImageSearch
from pipeline.providers.bing.objects import image, query
from pipeline.providers.bing.question import headers, shared_query, target
from pipeline.providers.bing.read import parse, unreadable
from pipeline.providers.bing.settings import QuerySettings
from pipeline.providers.bing.shapes import At, Context, Json, Shape
from pipeline.records import Answer, Page, Problem, Request, SearchHit
from pipeline.schema import ImageRef, Origin, Other, Query

SEARCH = "/images/search"
TRENDING = "/images/trending"
SOURCES = (SEARCH, TRENDING)
MAX_COUNT = 150  # images in one answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Pivot:
    """A part of the query, and what could stand in its place."""

    text: str
    suggestions: list[Query]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPage(Page):
    """One answer: its images, where the next begins, and how else to search; `other` is left over."""

    total: int | None = None
    web_search_url: str = ""
    read_link: str = ""
    expansions: list[Query] = field(default_factory=list)
    similar_terms: list[Query] = field(default_factory=list)
    related: list[Query] = field(default_factory=list)
    pivots: list[Pivot] = field(default_factory=list)
    other: list[Other] = field(default_factory=list)


def search_request(search: ImageSearch, settings: QuerySettings, endpoint: str, offset: int, have: int) -> Request:
    """Build the call for the images from `offset` on, of which `have` are there already; raises RequestError."""
    count = min(MAX_COUNT, max(1, search.count - have))
    pairs = (*search.query(), ("count", str(count)), ("offset", str(offset)), *shared_query(settings, settings.market))
    return Request(method="GET", target=target(endpoint, SEARCH, pairs), form="url", headers=headers(settings))


def trending_request(settings: QuerySettings, endpoint: str) -> Request:
    """Build the call for the images that are trending in the settings' market."""
    pairs = shared_query(settings, settings.market)
    return Request(method="GET", target=target(endpoint, TRENDING, pairs), form="url", headers=headers(settings))


def read_found(answer: Answer, *, origin: Origin, url_chars: int) -> SearchPage | Problem:
    """Understand an answer of either endpoint; never raises, whatever the bytes are.

    What would be a row's problem is the config's here: it alone says what is searched.
    """
    document = parse(answer.body)
    is_page = type(document) is dict and not {"value", "categories"}.isdisjoint(document)
    if not 200 <= answer.status < 300 or (not is_page and is_error(document)):
        problem = answer_problem(answer, document, is_from_row=_never, url_chars=url_chars)
        return replace(problem, kind="misconfigured") if problem.kind == "row" else problem
    if not is_page:
        return unreadable(answer, document)
    context = Context(origin)
    found = _PAGE.read(document, context, None)
    images = (*found.pop("images", ()), *(tile for tiles in found.pop("categories", ()) for tile in tiles))
    return SearchPage(images=images, **found, other=context.other)


def _never(_parameter: str) -> bool:
    """Tell that no parameter of a search comes from a row."""
    return False


def _found(source: Json, context: Context, at: At) -> SearchHit:
    return _as_found(image(source, context, at))


def _as_found(ref: Json, category: str = "", trend: Json | None = None) -> SearchHit:
    token, url = ref.get("insights_token", ""), ref.get("content_url", "")
    return SearchHit(
        id=ref.get("image_id") or token or url,
        token=token,
        content_url=url,
        name=ref.get("name", ""),
        host_page_url=ref.get("host_page_url", ""),
        image=cast("ImageRef", ref),
        category=category,
        query=cast("Query | None", trend),
    )


def _pivot(source: Json, context: Context, at: At) -> Pivot:
    found = _PIVOT.read(source, context, at)
    return Pivot(text=found.get("text", ""), suggestions=found.get("suggestions", []))


def _category(source: Json, context: Context, at: At) -> list[SearchHit]:
    found = _CATEGORY.read(source, context, at)
    title = found.get("title", "")
    return [_as_found(tile.get("image", {}), title, tile.get("query")) for tile in found.get("tiles", ())]


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
        "value": ("images", _found),
        "queryExpansions": ("expansions", query),
        "similarTerms": ("similar_terms", query),
        "relatedSearches": ("related", query),
        "pivotSuggestions": ("pivots", _pivot),
        "categories": ("categories", _category),
    },
    dropped=("instrumentation",),
)
