"""What the engine knows about one picture: plain frozen values, no wire format.

`engine.engine.open_engine` makes an Engine; everything that speaks HTTP and JSON builds on this module alone.
Colours are six upper-case hex digits without "#". Boxes are fractions (left, top, right, bottom) of the upright query.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol

from pipeline.errors import ServiceError
from pipeline.service.text.values import Text, Uri

Crop = tuple[float, float, float, float]
Format = Literal["auto", "csv", "tsv", "jsonl", "txt", "folder"]


class BadPicture(ServiceError):
    """The bytes of a request are no picture; `code` is unknown-format, damaged or too-many-pixels."""

    def __init__(self, code: Literal["unknown-format", "damaged", "too-many-pixels"], message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueConfig:
    """A catalogue to be indexed; `columns` maps a field (see catalogue.FIELDS) to the column that holds it.

    `root` is what relative image paths start from and may not leave: the catalogue's own folder by default. `whole`: a
    file that is cut off is refused, instead of being read up to the cut.
    """

    path: Path
    root: Path | None = None
    format: Format = "auto"
    columns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The user's own ONNX model: one RGB or BGR picture in, one vector out, whose cosine says how alike pictures are.

    Pixels of 0..1 come as (value - mean) / std, channel by channel in the order of `channels`, `size_px` high and wide.
    `output` names the output, where the first is no vector; pictures are look-alikes from the cosine `alike_from` on.
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
class Rating:
    """Only what the catalogue's columns say: `value` out of `best`, by `count` people."""

    value: float
    best: float = 5.0
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeFacts:
    """The recipe columns of a row; times are ISO 8601 durations or free text, as the catalogue has them."""

    creator: str | None = None
    cook_time: str | None = None
    prep_time: str | None = None
    total_time: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One row of the catalogue, and what its picture is.

    `number` counts the index's rows from 0. `image` is the image column, verbatim; `content_url` is where the picture
    lies on the web, if anywhere; `site` is the host of `page_url`. The picture's facts (width to token) are None where
    the row has no pixels here: an image behind a URL, a file that can't be read. `token` names the picture for
    Engine.look_up and Engine.picture.
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
    rating: Rating | None = None
    updated: str | None = None
    tags: tuple[str, ...] = ()
    category: str | None = None
    published: str | None = None
    recipe: RecipeFacts | None = None
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    format: str | None = None
    accent_color: str | None = None
    dominant_colors: tuple[tuple[str, float], ...] = ()
    sha256: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A row whose picture is like the query's; `score` 0..1, `mirrored`: it matches the query's mirror image."""

    item: Item
    score: float
    mirrored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TagGuess:
    """A tag or category that rows of like pictures agree on; `supporters` counts them."""

    name: str
    confidence: float
    box: Crop
    supporters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferGroup:
    """Offers for the pictured thing in one currency, the lowest price first; currencies are never mixed."""

    currency: str | None
    low_price: float
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """Words that a page of the catalogue uses for this very picture."""

    text: str
    source_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What can honestly be known of one picture.

    `same` holds rows that show the same picture (the strict tier: pages, sizes, offers, ImageById), the best first.
    `alike` holds pictures that look alike without being the same, ranked, at most engine.MOST_ALIKE, for paging; the
    site filter has been applied to `alike` and `products` only (reference 002). `products` are the priced ones of
    `alike`. `offers` are the priced rows of `same`. `token` names the query picture where the catalogue has it, else
    None. `text` is None where none has been read: the engine reads none, reader.add_text adds it with its `uris`.
    `unavailable` names (kind, reason) for each insight of the record that can't be known here.
    """

    width: int
    height: int
    format: str
    sha256: str
    accent_color: str
    dominant_colors: tuple[tuple[str, float], ...]
    same: tuple[Match, ...]
    alike: tuple[Match, ...]
    products: tuple[Match, ...]
    offers: tuple[OfferGroup, ...]
    tags: tuple[TagGuess, ...]
    best_query: str | None
    caption: Caption | None
    suggestions: tuple[str, ...]
    token: str | None
    unavailable: tuple[tuple[str, str], ...]
    text: Text | None = None
    uris: tuple[Uri, ...] = ()


class Engine(Protocol):
    """The index at work: synchronous, CPU-bound (call it in a worker thread), safe to share between threads."""

    @property
    def count(self) -> int:
        """How many rows the index holds, those without pixels among them."""

    @property
    def skipped(self) -> int:
        """How many rows of the catalogue have no picture that can be read, or a taken id."""

    @property
    def version(self) -> str:
        """A digest of the catalogue as indexed: equal versions give equal findings."""

    def look(self, picture: bytes, *, crop: Crop | None = None, site: str | None = None) -> Findings:
        """Find what is known of a picture; raises BadPicture where the bytes are none."""

    def look_up(self, token: str, *, crop: Crop | None = None, site: str | None = None) -> Findings | None:
        """Find what is known of one of the catalogue's own pictures; None where no picture has this token."""

    def items(self, numbers: Sequence[int] | None = None) -> Iterator[Item]:
        """Yield every row in the catalogue's order, for searches by words; or the rows of `numbers`, in their order."""

    def find_url(self, url: str) -> Item | None:
        """Find a row by its content URL, image column or page URL, in this order."""

    def picture(self, token: str) -> Path | None:
        """Return the file of a picture of the catalogue; None where no picture has this token."""
