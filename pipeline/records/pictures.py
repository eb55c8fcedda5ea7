"""A picture that is ready to be sent, and the limits that it was fitted into."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


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
