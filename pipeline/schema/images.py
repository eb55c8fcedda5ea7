"""Images in a record: an image on a page, its offers, and lists of similar images."""

from __future__ import annotations

from typing import Required

from typing_extensions import TypedDict

from pipeline.schema.parts import Origin, Query, Rating, Thumbnail, closed


@closed
class Counts(TypedDict, total=False):
    pages: int
    sizes: int
    shopping: int
    recipes: int


@closed
class Seller(TypedDict, total=False):
    name: str
    image_url: str


@closed
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


@closed
class AggregateOffer(Offer, total=False):
    offers: Required[list[Offer]]


@closed
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


@closed
class SimilarImages(TypedDict, total=False):
    items: Required[list[ImageRef]]
    next_offset: int
    total: int
