"""A search by words as a value: the words, the filters, and the range of results that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeVar

from pipeline.service.search.expression import Expression

T = TypeVar("T")
# The image types that are decided; the others need a model of pictures.
ImageType = Literal["AnimatedGif", "AnimatedGifHttps", "Photo", "Shopping", "Transparent"]
# The results of one page (Image Search reference, count).
DEFAULT_COUNT, MAX_COUNT = 35, 150


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRange:
    """The part of a result list to return: `count` results from `offset` on."""

    offset: int = 0
    count: int = DEFAULT_COUNT

    def of(self, results: Sequence[T]) -> Sequence[T]:
        """Return this part of a list."""
        return results[self.offset : self.offset + self.count]


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRange:
    """A range of whole numbers, both ends included; None leaves an end open."""

    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFilters:
    """What the images must be like.

    `width` and `height` are in pixels, `bytes` is the file size; `size`, `aspect` and `color` have the names of the
    Image Search reference, and so has `license`; `since` and `until` are when they were published, in UTC, until
    without its end. `without_adult` leaves out what the catalogue marks as such.
    """

    width: NumberRange = field(default_factory=NumberRange)
    height: NumberRange = field(default_factory=NumberRange)
    bytes: NumberRange = field(default_factory=NumberRange)
    size: str | None = None
    aspect: str | None = None
    color: str | None = None
    image_type: ImageType | None = None
    license: str | None = None
    without_adult: bool = False
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """One search: `text` as the caller wrote it, its `expression`, and the id of the row to list first.

    Without an expression, such as for a term of punctuation alone, every row matches.
    """

    text: str
    expression: Expression | None
    filters: SearchFilters = field(default_factory=SearchFilters)
    page: PageRange = field(default_factory=PageRange)
    first_id: str | None = None
