"""What flows from stage to stage: Row, Prepared, Request, Answer, Outcome, Failure.

Frozen values only: a stage returns a new one. The record that leaves the pipeline is JSON by nature: see schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from pipeline.schema import ImageRef, Insights, Query, SearchSummary, no_summary
from pipeline.wording import readable

Stage = Literal["manifest", "source", "prepare", "fetch", "read"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A region of interest in fractions 0..1 of the upright picture (Visual Search guide, cropArea)."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A picture on disk: `path` is real and inside the root, `name` is its path from there.

    Both are plain text, with lone surrogates for bytes that are no UTF-8: a Path takes 3 us to make and interns its
    parts, for each of a million rows.
    """

    path: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveMember:
    """A picture in the file `archive`: `place` says where its bytes are, and `stamp` changes when they do.

    `name` is its path in the archive, with lone surrogates for bytes that are no UTF-8. See tabular/archive.py.
    """

    archive: str
    name: str
    place: str
    stamp: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudFile:
    """A picture in cloud storage, such as s3://bucket/a.jpg; `stamp` changes when it does, where that is known."""

    url: str
    stamp: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteUrl:
    """A picture behind an http(s) URL."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightsToken:
    """A picture the service knows already (Image Search reference, imageInsightsToken)."""

    token: str


Image = LocalFile | ArchiveMember | CloudFile | RemoteUrl | InsightsToken


def image_name(image: Image) -> str:
    """Return how the manifest names an image, as valid text."""
    match image:
        case LocalFile() | ArchiveMember():
            return readable(image.name)
        case CloudFile() | RemoteUrl():
            return image.url
        case InsightsToken():
            return f"token:{image.token}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the manifest; `ordinal` counts rows from 0, `line` is the line of the file, from 1.

    `search_result` is what a search says of the image. It is no part of what is asked: another one makes no call.
    """

    id: str
    image: Image
    ordinal: int
    line: int
    crop: Crop | None = None
    query: str | None = None
    site: str | None = None
    market: str | None = None
    carry: Mapping[str, Any] = field(default_factory=dict)
    search_result: ImageRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a row has no record: one line of failures.jsonl."""

    id: str | None
    line: int
    ordinal: int
    image: str | None
    stage: Stage
    code: str
    message: str
    http_status: int | None = None
    attempts: int = 0
    retryable: bool = False
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """What is no row by choice: a line without a picture, or a file of a folder that is none. It is only counted."""

    line: int
    ordinal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """What the original picture is; width and height in px, upright, after `orientation` (EXIF 1-8) is applied."""

    sha256: str
    width: int
    height: int
    bytes: int
    format: str
    orientation: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Bytes within the provider's limits, and how they came about.

    `action` passed: the file's own bytes, untouched; stripped: metadata segments left out, the pixels' bytes untouched;
    encoded: a new encoding. `scale` is sent side / original side, `encodes` counts encoder runs, `ms` is
    the wall time it took. `thumbnail` is a small upright WebP for people to look at, empty where none was wanted.
    """

    source: SourceFacts
    data: bytes = field(repr=False)
    action: Literal["passed", "stripped", "encoded"]
    width: int
    height: int
    format: str
    media_type: str
    quality: int | None = None
    scale: float = 1.0
    encodes: int = 0
    ms: float = 0.0
    thumbnail: bytes = field(default=b"", repr=False)


Form = Literal["bytes", "url", "token"]
STANDARD_FORMATS = frozenset({"JPEG", "PNG", "GIF", "WEBP", "BMP"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a picture may be: `max_bytes` of the file, `max_side_px` of its longer side, the `forms` it goes in.

    `formats` are the formats that the service reads, by Pillow's names; a picture in another one is encoded again.
    `usual_bytes` and `usual_side_px` count where [prepare] says nothing: more of them would only cost more. 0 stands
    for the limit itself. `is_upright`: the service may not know EXIF, so a picture that is stored rotated is turned.
    """

    max_bytes: int
    max_side_px: int
    forms: frozenset[Form]
    formats: frozenset[str] = STANDARD_FORMATS
    usual_bytes: int = 0
    usual_side_px: int = 0
    is_upright: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call, complete but for the endpoint and the key: the same Request always has the same bytes.

    `target` is the path and the encoded query below the endpoint. `crop` and `picture_size` (width and height in px of
    the picture as it is sent, None where it is not) are kept so that boxes can be mapped back.
    """

    method: Literal["GET", "POST"]
    target: str
    form: Form
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    crop: Crop | None = None
    picture_size: tuple[int, int] | None = None

    def fingerprint(self, identity: str) -> bytes:
        """Return 32 bytes that name what is asked of the service `identity`: equal fingerprints, one call."""
        digest = sha256()
        for part in (identity, self.method, self.target, *(f"{name}: {value}" for name, value in self.headers)):
            digest.update(part.encode() + b"\n")
        digest.update(self.body)
        return digest.digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back from one call, whole and unread; `headers` has lower-case names and only what is worth keeping.

    `asked_at` is Unix time in seconds, `ms` the wall time of the last attempt, `attempts` how many sends it took.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    asked_at: float
    attempts: int = 1
    ms: float = 0.0
    from_store: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one call uses, in the service's own `units` and in tokens; `cost` is in `currency`, None where unknown.

    `unit_costs` are the parts of the cost that each unit has, where units are what is paid for. `model` is the one that
    answered, of a service that has several.
    """

    units: Mapping[str, float] = field(default_factory=dict)
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None
    currency: str = ""
    unit_costs: Mapping[str, float] = field(default_factory=dict)
    model: str = ""

    @property
    def amount(self) -> float:
        """How much it is, where a service limits the amount in a minute: its tokens, else its units."""
        return self.tokens_in + self.tokens_out or sum(self.units.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What is left of a limit of a service: `remaining` of `limit`, which is whole again `reset` seconds from now."""

    limit: float
    remaining: float
    reset: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What an answer's headers advise about the pace.

    `wait`: for how many seconds nothing more should be sent, if at all. `calls`, `amount`: what is left of the limits
    on calls, and on tokens or units.
    """

    wait: float | None = None
    calls: Budget | None = None
    amount: Budget | None = None


# An unreadable answer is kept: it costs its row, but no further call, until a later reader understands it.
ProblemKind = Literal["row", "unreadable", "transient", "throttled", "quota", "refused", "misconfigured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An answer that is no success, classified. `retry_after` is in seconds from now.

    `details` holds what the service said beyond the message: parameter, value, sub_code, trace_id, more. `needs_bytes`:
    the service could not load the picture from its URL, and may like its bytes better. `by_amount`: throttled for too
    many tokens or units, not for too many calls. `fallback` names another way in which the same request may be sent
    with more success, if there is one (providers/base.py, FallbackService).
    """

    kind: ProblemKind
    code: str
    message: str
    http_status: int | None = None
    retry_after: float | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    needs_bytes: bool = False
    by_amount: bool = False
    fallback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextPage:
    """The request for the next page of one list, worth sending while the record has fewer than `enough` of its items.

    `list` is the list's field in the insights.
    """

    request: Request
    list: Literal["similar_images", "similar_products"]
    enough: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """An answer understood: its insights, and a next page for each list of which more is wanted and more is there."""

    insights: Insights
    more: tuple[NextPage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """One image that can become a row; `image` is all that was said about it.

    Trending images come in a `category`, each with the `query` that is trending, and without a token.
    """

    id: str
    token: str
    content_url: str
    name: str
    host_page_url: str
    image: ImageRef
    category: str = ""
    query: Query | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer to a search for images: its images, and where the next page begins, if there is one.

    `summary` is what it says about the search itself.
    """

    images: tuple[SearchHit, ...]
    next_offset: int | None = None
    summary: SearchSummary = field(default_factory=no_summary)


Outcome = Reading | Page | Problem
