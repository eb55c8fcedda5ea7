"""What the answers to an image search say about the search itself: search.json of a job (docs/output.md)."""

from __future__ import annotations

from typing import Required

from typing_extensions import TypedDict

from pipeline.schema.insights import Other, Unavailable
from pipeline.schema.parts import Query, closed


@closed
class Pivot(TypedDict):
    """A term of the query, and queries with another term in its place."""

    text: str
    suggestions: list[Query]


@closed
class TrendingCategory(TypedDict):
    title: str
    queries: list[Query]


@closed
class SearchSummary(TypedDict, total=False):
    """All that is not about single images: those have it in `search_result` of their records."""

    total: int
    web_search_url: str
    read_link: str
    expansions: Required[list[Query]]
    similar_terms: Required[list[Query]]
    related_searches: Required[list[Query]]
    pivots: Required[list[Pivot]]
    categories: Required[list[TrendingCategory]]
    unavailable: Required[list[Unavailable]]
    other: Required[list[Other]]


def no_summary() -> SearchSummary:
    """Return a summary in which every list is empty."""
    return {
        "expansions": [],
        "similar_terms": [],
        "related_searches": [],
        "pivots": [],
        "categories": [],
        "unavailable": [],
        "other": [],
    }
