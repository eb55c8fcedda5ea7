"""The record, schema "1": the JSON line that every provider's answers become (docs/record.md explains each field).

Typed dictionaries, because a record is JSON from the moment it is read until it is written: absent scalars are
absent, lists are always there, nothing has to be filtered out on the way. Coordinates are fractions 0..1 of the
original picture in its upright orientation. URLs are kept verbatim.
"""

from __future__ import annotations

from typing import Any, Literal, Required

from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict

SCHEMA_VERSION = "1"

Origin = Literal["web", "catalogue", "pixels", "generated"]
_closed = with_config(ConfigDict(extra="forbid"))


@_closed
class Point(TypedDict):
    x: float
    y: float


# Four corners from the top left, clockwise: text may be turned, so a box is a quadrilateral.
Box = list[Point]


@_closed
class Thumbnail(TypedDict, total=False):
    url: str
    width: int
    height: int


@_closed
class Counts(TypedDict, total=False):
    pages: int
    sizes: int
    shopping: int
    recipes: int


@_closed
class Rating(TypedDict, total=False):
    value: float
    best: float
    count: int
    rating_count: int
    text: str


@_closed
class Seller(TypedDict, total=False):
    name: str
    image_url: str


@_closed
class Offer(TypedDict, total=False):
    name: str
    url: str
    description: str
    seller: Seller
    price: float
    low_price: float
    currency: str
    count: int
    availability: str
    rating: Rating
    updated: str
    origin: Origin


@_closed
class AggregateOffer(Offer, total=False):
    offers: Required[list[Offer]]


@_closed
class Query(TypedDict, total=False):
    text: str
    display_text: str
    web_search_url: str
    search_url: str
    thumbnail_url: str
    origin: Origin


@_closed
class ImageRef(TypedDict, total=False):
    name: str
    insights_token: str
    image_id: str
    content_url: str
    host_page_url: str
    host_page_display_url: str
    host_page_domain: str
    host_page_favicon_url: str
    proxy_content_url: str
    thumbnail: Thumbnail
    width: int
    height: int
    source_width: int
    source_height: int
    bytes: int
    format: str
    published: str
    family_friendly: bool
    accent_color: str
    web_search_url: str
    match: str
    counts: Counts
    offer: AggregateOffer
    best_query: Query
    creative_commons: str
    visual_words: str
    origin: Origin


@_closed
class Person(TypedDict, total=False):
    name: str
    url: str
    description: str
    job_title: str
    image_url: str
    twitter_url: str
    web_search_url: str


@_closed
class Recipe(TypedDict, total=False):
    name: str
    url: str
    thumbnail_url: str
    creator: Person
    cook_time: str
    prep_time: str
    total_time: str
    rating: Rating
    origin: Origin


@_closed
class TriviaItem(TypedDict, total=False):
    name: str
    text: str
    host_page_url: str
    origin: Origin


@_closed
class ActionResults(TypedDict, total=False):
    images: Required[list[ImageRef]]
    offers: Required[list[Offer]]
    queries: Required[list[Query]]
    recipes: Required[list[Recipe]]
    trivia: Required[list[TriviaItem]]
    next_offset: int
    total: int


@_closed
class Action(TypedDict, total=False):
    type: str
    kind: str
    name: str
    url: str
    web_search_url: str
    service_url: str
    image: ImageRef
    results: ActionResults
    extra: dict[str, Any]


@_closed
class Tag(TypedDict, total=False):
    name: Required[str]
    box: Box
    display_box: Box
    sources: Required[list[str]]
    confidence: float
    image_url: str
    actions: Required[list[Action]]
    origin: Origin


@_closed
class Word(TypedDict, total=False):
    text: Required[str]
    box: Box


@_closed
class Line(TypedDict, total=False):
    text: Required[str]
    box: Box
    words: Required[list[Word]]


@_closed
class Region(TypedDict, total=False):
    box: Box
    lines: Required[list[Line]]


@_closed
class Text(TypedDict, total=False):
    full: Required[str]
    box: Box
    regions: Required[list[Region]]
    sources: Required[list[str]]
    origin: Origin


@_closed
class Uri(TypedDict, total=False):
    uri: Required[str]
    kind: Required[Literal["mail", "phone", "web", "other"]]
    box: Box
    sources: Required[list[str]]
    origin: Origin


@_closed
class Attribution(TypedDict, total=False):
    rule: Required[str]
    target: str
    must_be_close: bool
    license: str
    notice: str
    text: str
    url: str
    about: str


@_closed
class Entity(TypedDict, total=False):
    name: str
    alternate_name: str
    types: Required[list[str]]
    id: str
    api_url: str
    description: str
    image: ImageRef
    url: str
    web_search_url: str
    twitter_url: str
    read_link: str
    box: Box
    group: str
    confidence: float
    job_title: str
    attributions: Required[list[Attribution]]
    origin: Origin


@_closed
class SimilarImages(TypedDict, total=False):
    items: Required[list[ImageRef]]
    next_offset: int
    total: int


@_closed
class Caption(TypedDict, total=False):
    text: str
    source_url: str
    related_searches: Required[list[Query]]
    origin: Origin


@_closed
class Collection(TypedDict, total=False):
    name: str
    url: str
    description: str
    source: str
    thumbnail_url: str
    creator: Person
    images: int
    followers: int
    origin: Origin


@_closed
class DominantColor(TypedDict, total=False):
    hex: Required[str]
    share: float


@_closed
class Unavailable(TypedDict):
    kind: str
    reason: str


@_closed
class Other(TypedDict):
    where: str
    value: Any


@_closed
class Insights(TypedDict, total=False):
    """What a provider's answers say about one picture: the provider's half of the record."""

    market: str
    insights_token: str
    image: ImageRef
    accent_color: str
    caption: Caption
    best_query: Query
    text: Text
    dominant_colors: Required[list[DominantColor]]
    tags: Required[list[Tag]]
    actions: Required[list[Action]]
    uris: Required[list[Uri]]
    entities: Required[list[Entity]]
    pages: Required[list[ImageRef]]
    similar_images: Required[SimilarImages]
    similar_products: Required[SimilarImages]
    sizes: Required[list[ImageRef]]
    offers: Required[list[Offer]]
    recipes: Required[list[Recipe]]
    related_searches: Required[list[Query]]
    suggestions: Required[list[Query]]
    collections: Required[list[Collection]]
    trivia: Required[list[TriviaItem]]
    attributions: Required[list[Attribution]]
    hints: Required[list[str]]
    unavailable: Required[list[Unavailable]]
    other: Required[list[Other]]


@_closed
class RecordSource(TypedDict, total=False):
    path: str
    url: str
    token: str
    sha256: str
    width: int
    height: int
    bytes: int
    format: str
    orientation: int


@_closed
class RecordCrop(TypedDict):
    left: float
    top: float
    right: float
    bottom: float


@_closed
class Sent(TypedDict, total=False):
    form: Required[Literal["bytes", "url", "token"]]
    action: Literal["passed", "stripped", "encoded"]
    width: int
    height: int
    bytes: int
    format: str
    quality: int
    scale: float
    encodes: int
    ms: float
    crop: RecordCrop


@_closed
class Calls(TypedDict):
    count: int
    attempts: int
    ms: float
    trace_ids: list[str]
    from_store: bool


@_closed
class Record(Insights, total=False):
    """One line of insights.jsonl."""

    schema: Required[Literal["1"]]
    id: Required[str]
    status: Required[Literal["ok", "empty"]]
    provider: Required[str]
    asked_at: Required[str]
    carry: Required[dict[str, Any]]
    source: Required[RecordSource]
    sent: Required[Sent]
    calls: Required[Calls]


def no_insights() -> Insights:
    """Return insights with every list there and empty."""
    return {
        "dominant_colors": [],
        "tags": [],
        "actions": [],
        "uris": [],
        "entities": [],
        "pages": [],
        "similar_images": {"items": []},
        "similar_products": {"items": []},
        "sizes": [],
        "offers": [],
        "recipes": [],
        "related_searches": [],
        "suggestions": [],
        "collections": [],
        "trivia": [],
        "attributions": [],
        "hints": [],
        "unavailable": [],
        "other": [],
    }


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one record."""
    schema = TypeAdapter(Record).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Record", **schema}
