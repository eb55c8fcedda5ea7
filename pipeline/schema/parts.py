"""Types that several parts of a record share: boxes, thumbnails, ratings, queries, persons, attributions."""

from __future__ import annotations

from typing import Literal, Required

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

Origin = Literal["web", "catalogue", "pixels", "generated"]
closed = with_config(ConfigDict(extra="forbid"))


@closed
class Point(TypedDict):
    x: float
    y: float


# Four corners from the top left, clockwise. A box is a quadrilateral, because text may be rotated.
Box = list[Point]


@closed
class Thumbnail(TypedDict, total=False):
    url: str
    width: int
    height: int


@closed
class Rating(TypedDict, total=False):
    value: float
    best: float
    count: int
    rating_count: int
    text: str


@closed
class Query(TypedDict, total=False):
    text: str
    display_text: str
    web_search_url: str
    search_url: str
    thumbnail_url: str
    origin: Origin


@closed
class Person(TypedDict, total=False):
    name: str
    url: str
    description: str
    job_title: str
    image_url: str
    twitter_url: str
    web_search_url: str


@closed
class Attribution(TypedDict, total=False):
    rule: Required[str]
    target: str
    must_be_close: bool
    license: str
    notice: str
    text: str
    url: str
    about: str
