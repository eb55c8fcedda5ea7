"""Knowledge about what a picture shows: entities, recipes, collections, captions, trivia."""

from __future__ import annotations

from typing import Required

from typing_extensions import TypedDict

from pipeline.schema.images import ImageRef
from pipeline.schema.parts import Attribution, Box, Origin, Person, Query, Rating, closed


@closed
class Geo(TypedDict):
    lat: float
    long: float


@closed
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
    geo: Geo
    group: str
    confidence: float
    job_title: str
    attributions: Required[list[Attribution]]
    origin: Origin


@closed
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


@closed
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


@closed
class Caption(TypedDict, total=False):
    text: str
    source_url: str
    related_searches: Required[list[Query]]
    origin: Origin


@closed
class TriviaItem(TypedDict, total=False):
    name: str
    text: str
    host_page_url: str
    origin: Origin
