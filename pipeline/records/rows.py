"""A row of the manifest: which picture it means, or why it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.schema import ImageRef
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
