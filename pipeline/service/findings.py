"""What the engine finds out about a picture, as plain frozen values without a wire format, and the Engine protocol.

`engine.engine.open_engine` returns an Engine; the code for HTTP and JSON depends on this module only.
Colours are six upper-case hex digits without "#". Boxes are fractions (left, top, right, bottom) of the upright query.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol

from pipeline.errors import ServiceError
from pipeline.service.text.recognised_text import RecognisedText, TextUri

Crop = tuple[float, float, float, float]
Format = Literal["auto", "csv", "tsv", "jsonl", "txt", "parquet", "folder"]


BadPictureCode = Literal["unknown-format", "damaged", "too-many-pixels", "too-slow", "decoder-died"]


class BadPicture(ServiceError):
    """Bytes can't be decoded as a picture; too-slow and decoder-died: trying it is dangerous."""

    def __init__(self, code: BadPictureCode, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueConfig:
    """A catalogue to index; `columns` maps a field (see catalogue.FIELDS) to the name of its column.

    Relative image paths start from `root`, by default the catalogue's folder, and may not leave it. `ids` are the
    columns that an id is composed of, where it is not the one of `columns`; `split` separates several pictures in a
    cell. `whole`: a file that is cut off is refused; without it, the file is read up to the cut.
    """

    path: Path
    root: Path | None = None
    format: Format = "auto"
    delimiter: str = "auto"
    encoding: str = "auto"
    columns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ids: tuple[str, ...] = ()
    split: str = ""
    skip_without_image: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The user's own ONNX model, which turns a picture into a vector; the cosine of two vectors is their similarity.

    The input is `size_px` high and wide; each channel, in the order of `channels`, is (value - mean) / std for values
    of 0..1. `output` names the output, if the first one is no vector. Pictures with a cosine of at least `alike_from`
    are similar.
    """

    path: Path
    size_px: int = 224
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: Literal["RGB", "BGR"] = "RGB"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    resize: Literal["squash", "crop", "pad"] = "squash"
    output: str = ""
    alike_from: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRating:
    """The rating in the catalogue's columns: `value` out of 5.0, by `count` people."""

    value: float
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeFacts:
    """The recipe columns of a row; times are ISO 8601 durations."""

    creator: str | None = None
    cook_time: str | None = None
    prep_time: str | None = None
    total_time: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One row of the catalogue and the facts of its picture.

    `number` counts the index's rows from 0. `image` is the image column, verbatim; `content_url` is the picture's URL,
    if it has one; `site` is the host of `page_url`. The facts of the picture (width to token) are None if the service
    has no pixels: for an image behind a URL, or a file that can't be read. `token` names the picture for
    Engine.inspect_token and Engine.read_picture. `license` has a name of the image search's license filter, `adult` is
    None where the catalogue doesn't say it. `transparent`: the background of the picture is.
    """

    number: int
    id: str
    image: str
    title: str | None = None
    description: str | None = None
    page_url: str | None = None
    content_url: str | None = None
    site: str | None = None
    seller: str | None = None
    seller_image_url: str | None = None
    price: float | None = None
    currency: str | None = None
    availability: str | None = None
    rating: ItemRating | None = None
    updated: str | None = None
    tags: tuple[str, ...] = ()
    category: str | None = None
    published: str | None = None
    recipe: RecipeFacts | None = None
    license: str | None = None
    adult: bool | None = None
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    format: str | None = None
    animated: bool = False
    transparent: bool = False
    accent_color: str | None = None
    dominant_colors: tuple[tuple[str, float], ...] = ()
    sha256: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A row whose picture matches the query; `score` 0..1; `mirrored`: it matches the query's mirror image."""

    item: Item
    score: float
    mirrored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """A row whose picture is a copy of the query; `score` 0..1. `exact`: the same bytes; see engine/copies.py."""

    item: Item
    kind: Literal["exact", "same", "edited", "mirrored"]
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InferredTag:
    """A tag or category that the rows of matching pictures share; `supporters` counts these rows."""

    name: str
    confidence: float
    box: Crop
    supporters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferGroup:
    """The offers for a picture in one currency, the lowest price first."""

    currency: str | None
    low_price: float
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcedCaption:
    """A text that a page of the catalogue has for this picture."""

    text: str
    source_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the service knows about one picture.

    `same` has the rows that show the same picture (for pages, sizes, offers, ImageById), the best match first.
    `similar` has the rows with similar pictures, ranked, at most similarity_search.MAX_SIMILAR, for paging. `products`
    are those of `similar` that have a price. The site filter applies to `similar` and `products` only (Visual Search
    query guide). `duplicates` has the rows whose pictures are copies of the whole picture, itself included, whether or
    not they have a page. `offers` are the rows of `same` that have a price. `token` names the query picture if the
    catalogue has it. `text` is None until reader.add_text adds it with its `uris`: the engine reads no text.
    `unavailable` has (kind, reason) for each insight of the record that this service can't give.
    """

    width: int
    height: int
    format: str
    sha256: str
    accent_color: str
    dominant_colors: tuple[tuple[str, float], ...]
    same: tuple[Match, ...]
    similar: tuple[Match, ...]
    products: tuple[Match, ...]
    offers: tuple[OfferGroup, ...]
    tags: tuple[InferredTag, ...]
    best_query: str | None
    caption: SourcedCaption | None
    suggestions: tuple[str, ...]
    token: str | None
    unavailable: tuple[tuple[str, str], ...]
    duplicates: tuple[Duplicate, ...] = ()
    text: RecognisedText | None = None
    uris: tuple[TextUri, ...] = ()


class Engine(Protocol):
    """Queries over an index: synchronous and CPU-bound, to be run in a worker thread; safe to share between threads."""

    @property
    def count(self) -> int:
        """The number of rows in the index, including those without pixels."""

    @property
    def skipped(self) -> int:
        """The number of rows of the catalogue that have no readable picture, or the id of an earlier row."""

    @property
    def left_out(self) -> dict[str, int]:
        """In how many rows a column has text that is not of its form, by column."""

    @property
    def version(self) -> str:
        """A digest of the indexed catalogue: equal versions give equal findings."""

    def inspect(
        self, picture: bytes, *, crop: Crop | None = None, site: str | None = None, max_side_px: int | None = None
    ) -> Findings:
        """Return the findings about a picture; raises BadPicture if it can't be decoded, or is over `max_side_px`."""

    def inspect_token(self, token: str, *, crop: Crop | None = None, site: str | None = None) -> Findings | None:
        """Return the findings about a picture of the catalogue; None if no picture has this token."""

    def items(self, numbers: Sequence[int] | None = None) -> Iterator[Item]:
        """Yield every row in the catalogue's order, or the rows of `numbers` in their order."""

    def same_rows(self, items: Sequence[Item]) -> list[tuple[Item, ...]]:
        """Return, for each row, the rows that show the same picture, itself among them."""

    def find_by_url(self, url: str) -> Item | None:
        """Return the row with this content URL, image column or page URL, tried in this order."""

    def read_picture(self, token: str) -> bytes:
        """Return the bytes of a picture of the catalogue; raises BadPicture if none has this token, or it changed."""

    def thumbnail(self, picture: bytes, width: int, height: int, *, fills: bool = False) -> bytes:
        """Return a JPEG of a picture of at most this size; one that `fills` is cut to it. Raises BadPicture."""
