"""Tags: things in the picture with their boxes, and the actions that each leads to."""

from __future__ import annotations

from typing import Any, Required

from typing_extensions import TypedDict

from pipeline.schema.images import ImageRef, Offer
from pipeline.schema.knowledge import Recipe, TriviaItem
from pipeline.schema.parts import Box, Origin, Query, closed


@closed
class ActionResults(TypedDict, total=False):
    images: Required[list[ImageRef]]
    offers: Required[list[Offer]]
    queries: Required[list[Query]]
    recipes: Required[list[Recipe]]
    trivia: Required[list[TriviaItem]]
    next_offset: int
    total: int


@closed
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


@closed
class Tag(TypedDict, total=False):
    name: Required[str]
    box: Box
    display_box: Box
    sources: Required[list[str]]
    confidence: float
    image_url: str
    actions: Required[list[Action]]
    origin: Origin
