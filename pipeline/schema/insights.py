"""The insights about one picture: the part of the record that comes from the provider."""

from __future__ import annotations

from typing import Any, Literal, Required

from typing_extensions import TypedDict

from pipeline.schema.images import ImageRef, Offer, SimilarImages
from pipeline.schema.knowledge import Caption, Collection, Entity, Recipe, TriviaItem
from pipeline.schema.parts import Attribution, Origin, Query, closed
from pipeline.schema.tags import Action, Tag
from pipeline.schema.text import Text, Uri


@closed
class DominantColor(TypedDict, total=False):
    hex: Required[str]
    share: float


@closed
class Safety(TypedDict, total=False):
    adult: float
    violence: float
    racy: float
    medical: float
    spoof: float
    origin: Origin


@closed
class Duplicate(TypedDict, total=False):
    id: Required[str]
    path: Required[str]
    kind: Required[Literal["exact", "same", "edited", "mirrored"]]
    score: Required[float]
    sha256: str  # of its file, until a record is built: then it shows what is exact


@closed
class Unavailable(TypedDict):
    kind: str
    reason: str


@closed
class Other(TypedDict):
    where: str
    value: Any


@closed
class Insights(TypedDict, total=False):
    """The insights about one picture, from all responses of the provider."""

    market: str
    insights_token: str
    image: ImageRef
    accent_color: str
    caption: Caption
    best_query: Query
    text: Text
    safety: Safety
    attributes: dict[str, Any]
    dominant_colors: Required[list[DominantColor]]
    tags: Required[list[Tag]]
    actions: Required[list[Action]]
    uris: Required[list[Uri]]
    entities: Required[list[Entity]]
    pages: Required[list[ImageRef]]
    similar_images: Required[SimilarImages]
    similar_products: Required[SimilarImages]
    sizes: Required[list[ImageRef]]
    duplicates: Required[list[Duplicate]]
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


def no_insights() -> Insights:
    """Return insights in which every list is empty."""
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
        "duplicates": [],
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
