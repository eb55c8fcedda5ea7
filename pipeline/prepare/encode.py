"""A picture within a number of bytes: the best JPEG quality, else a smaller picture; PNG for line art."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from math import sqrt
from typing import IO

from PIL import Image

from pipeline.errors import PrepareError
from pipeline.prepare.decode import shrink
from pipeline.prepare.header import target_size
from pipeline.prepare.quality import best_quality
from pipeline.prepare.rules import FitRules

_SHRINK = 0.8  # per step, or as much as the lowest quality is too large
_PNG_HOPE = 1.1  # a band's PNG may be so much larger, by rows: what is drawn gathers in the middle
# Of zlib: 30-40 % less time than its 6. Drawings get up to a fifth larger (an almost empty one 18 KB for 6, one with
# fine lines 4 % smaller), which in rare cases is what makes them too large.
_PNG_LEVEL = 3
_AIM = 0.8  # of the limit at the lowest quality, so that a better one fits


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An encoded picture; `size` in px, `quality` None for PNG, `encodes` counts encoder runs."""

    data: bytes = field(repr=False)
    format: str
    size: tuple[int, int]
    quality: int | None
    encodes: int


def encode_within(image: Image.Image, rules: FitRules) -> File:
    """Encode an L or RGB picture as JPEG within the limit of bytes, shrinking it where quality alone can't do it."""
    encodes = 0
    expected = None
    while True:
        encode = partial(encode_jpeg, image)
        found = best_quality(encode, rules.max_bytes, rules.min_quality, rules.max_quality, expected=expected)
        encodes += found.encodes
        if found.data is not None:
            return File(data=found.data, format="JPEG", size=image.size, quality=found.quality, encodes=encodes)
        if image.size == (1, 1):
            raise PrepareError("cannot-fit", f"not even 1 px fits into {rules.max_bytes:,} bytes")
        factor = min(_SHRINK, sqrt(_AIM / found.excess))
        expected = found.excess * rules.max_bytes * factor**2
        smaller = target_size(image.size, max(1, int(max(image.size) * factor)))
        image = shrink(image, smaller)


def is_line_art(image: Image.Image, jpeg: File) -> bool:
    """Tell from a band of a sixteenth of the rows whether PNG may beat the JPEG; a whole PNG takes 3-8 JPEGs' time."""
    middle = image.height // 2
    band = image.crop((0, middle, image.width, min(image.height, middle + image.height // 16 + 1)))
    file = BytesIO()
    band.save(file, "PNG", compress_level=_PNG_LEVEL)
    return file.tell() * image.height < _PNG_HOPE * len(jpeg.data) * band.height


def or_png(image: Image.Image, jpeg: File, rules: FitRules) -> File:
    """Return the picture as PNG where that is smaller than its JPEG, or spares a loss: line art, screenshots."""
    file = BytesIO()
    image.save(file, "PNG", compress_level=_PNG_LEVEL)
    data = file.getvalue()
    spares = jpeg.size != image.size or jpeg.quality != rules.max_quality
    if len(data) <= rules.max_bytes and (spares or len(data) < len(jpeg.data)):
        return File(data=data, format="PNG", size=image.size, quality=None, encodes=jpeg.encodes + 1)
    return replace(jpeg, encodes=jpeg.encodes + 1)


def encode_jpeg(image: Image.Image, quality: int, subsampling: int) -> bytes:
    """Encode through a real file descriptor: writing to a BytesIO holds the GIL (2 threads 0.96 x, so 1.94 x)."""
    with _descriptor() as file:
        image.save(file, "JPEG", quality=quality, subsampling=subsampling)
        file.seek(0)
        return file.read()


def _descriptor() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("jpeg"), "w+b", buffering=0)  # noqa: PTH123 - a descriptor, no path
    return tempfile.TemporaryFile(buffering=0)
