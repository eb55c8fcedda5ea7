"""Opens untrusted pictures: checks their size first, then decodes only as many pixels as needed, upright, on white."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageFile

from pipeline.errors import PrepareError
from pipeline.guards.memory import decoding_bytes
from pipeline.guards.picture_guard import open_image, pillow_errors
from pipeline.service.findings import BadPicture, Crop

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_DECODE_BYTES = 512_000_000
# The shorter side that the features need at least: they are computed from 192 px.
WORK_SIDE_PX = 192
# The longer side that is worked on at most: for strips, whose shorter side is never reduced.
MAX_WORK_SIDE_PX = 8192
# An alpha below this is see-through.
HALF_CLEAR = 128
WHOLE: Crop = (0.0, 0.0, 1.0, 1.0)

_SWAPPED = {5, 6, 7, 8}
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What the guards say of a picture, in the words of BadPicture; everything else is damaged.
_CODES: dict[str, Literal["unknown-format", "too-many-pixels", "too-slow"]] = {
    "empty": "unknown-format",
    "unsupported-format": "unknown-format",
    "not-a-picture": "unknown-format",
    "too-many-pixels": "too-many-pixels",
    "too-much-memory": "too-many-pixels",
    "too-many-scans": "too-slow",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureHeader:
    """A picture of which only the header has been read: the stored px, before it is turned upright."""

    image: ImageFile.ImageFile
    width: int
    height: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPicture:
    """RGB `pixels` (scaled down, cropped, upright), and the facts of the whole upright original.

    `transparent`: at least half of its edge is see-through.
    """

    pixels: Image.Image
    width: int
    height: int
    format: str
    bytes: int
    animated: bool
    transparent: bool


def read_header(data: bytes, max_side_px: int | None = None) -> PictureHeader:
    """Read the header of a picture; raises BadPicture, also for a side over `max_side_px`."""
    if len(data) > MAX_FILE_BYTES:
        raise BadPicture("too-many-pixels", f"the picture has {len(data)} bytes; at most {MAX_FILE_BYTES} are decoded")
    with _bad_pictures():
        image = open_image(data)
    if max_side_px is not None and max(image.size) > max_side_px:
        size = f"{image.width} x {image.height} px"
        raise BadPicture("too-many-pixels", f"{size}: no side may be longer than {max_side_px} px")
    return PictureHeader(image=image, width=image.width, height=image.height, bytes=len(data))


def decode(header: PictureHeader, *, crop: Crop = WHOLE, side_px: int = WORK_SIDE_PX) -> OpenedPicture:
    """Decode the part `crop` of a picture, its shorter side not much over `side_px`; raises BadPicture.

    The memory that it needs is estimated from the header, before any pixel is decoded.
    """
    name = header.image.format or ""
    with _bad_pictures(), pillow_errors():
        pixels, turned, transparent = _decode(header.image, crop, side_px)
        animated = name == "GIF" and bool(getattr(header.image, "is_animated", False))
    width, height = (header.height, header.width) if turned else (header.width, header.height)
    return OpenedPicture(
        pixels=pixels,
        width=width,
        height=height,
        format=name.lower(),
        bytes=header.bytes,
        animated=animated,
        transparent=transparent,
    )


@contextmanager
def _bad_pictures() -> Iterator[None]:
    """Translate what the guards say of a picture."""
    try:
        yield
    except PrepareError as exc:
        raise BadPicture(_CODES.get(exc.code, "damaged"), str(exc)) from exc


def _decode(image: ImageFile.ImageFile, crop: Crop, side_px: int) -> tuple[Image.Image, bool, bool]:
    """Return the RGB pixels of `crop`, whether making it upright swaps the sides, and whether its edge is clear."""
    stored = image.size
    side = math.ceil(side_px / max(min(crop[2] - crop[0], crop[3] - crop[1]), 0.01))
    image.draft("RGB", (side, side))
    _check_memory(image, stored)
    image.load()
    orientation = image.getexif().get(_ORIENTATION, 1)  # after load: on a PNG it would decode a bomb
    reduced = _reduced(image, side)
    small, turn = _on_white(reduced), _TURNS.get(orientation)
    pixels = _cut(small if turn is None else small.transpose(turn), crop)
    return pixels, orientation in _SWAPPED, _has_clear_edge(reduced)


def _check_memory(image: ImageFile.ImageFile, stored: tuple[int, int]) -> None:
    if decoding_bytes(image, stored, image.size) > MAX_DECODE_BYTES:
        raise PrepareError("too-much-memory", f"{stored[0]} x {stored[1]} px are too many to be decoded")


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """Reduce a picture whose shorter side is at least twice `side`, and every side that is far too long."""
    if image.mode in {"P", "1"} or image.mode.startswith("I;"):
        return image
    factor = max(min(image.size) // side, 1)
    across, down = (max(factor, length // MAX_WORK_SIDE_PX) for length in image.size)
    return image if across == down == 1 else image.reduce((across, down))


def _on_white(image: Image.Image) -> Image.Image:
    """Return RGB pixels; transparent ones become white, as on a page. 16-bit grey is scaled, not clipped."""
    if image.mode.startswith("I;16"):
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        transparent = image.convert("RGBA")
        white = Image.new("RGBA", transparent.size, "white")
        white.alpha_composite(transparent)
        image = white
    return image.convert("RGB")


def _has_clear_edge(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return False
    alpha = image.convert("RGBA").getchannel("A")
    width, height = alpha.size
    edges = [(0, 0, width, 1), (0, height - 1, width, height), (0, 0, 1, height), (width - 1, 0, width, height)]
    pixels = b"".join(alpha.crop(edge).tobytes() for edge in edges)
    return sum(value < HALF_CLEAR for value in pixels) * 2 >= len(pixels)


def _cut(image: Image.Image, crop: Crop) -> Image.Image:
    if crop == WHOLE:
        return image
    left, top = math.floor(crop[0] * image.width), math.floor(crop[1] * image.height)
    right, bottom = math.ceil(crop[2] * image.width), math.ceil(crop[3] * image.height)
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    return image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
