"""Opens untrusted pictures: checks their size first, then decodes only as many pixels as needed, upright, on white."""

from __future__ import annotations

import io
import math
import struct
import warnings
from dataclasses import dataclass
from hashlib import sha256

from PIL import Image, ImageFile

from pipeline.service.findings import BadPicture, Crop

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP")
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 2**28
MAX_DECODE_BYTES = 512_000_000
# The shorter side that the features need at least: they are computed from 192 px.
WORK_SIDE_PX = 192
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


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPicture:
    """RGB `pixels` (scaled down, cropped, upright), and the facts of the whole upright original."""

    pixels: Image.Image
    width: int
    height: int
    format: str
    bytes: int
    sha256: str


def open_picture(data: bytes, *, crop: Crop = WHOLE, side_px: int = WORK_SIDE_PX) -> OpenedPicture:
    """Decode the part `crop` of a picture, its shorter side not much over `side_px`; raises BadPicture.

    The memory that it needs is estimated from the header, before any pixel is decoded.
    """
    if len(data) > MAX_FILE_BYTES:
        raise BadPicture("too-many-pixels", f"the picture has {len(data)} bytes; at most {MAX_FILE_BYTES} are taken")
    image = _identify(data)
    width, height, name = image.width, image.height, image.format or ""
    _check_memory(image)
    pixels, turned = _decode(image, crop, side_px)
    if turned:
        width, height = height, width
    return OpenedPicture(
        pixels=pixels, width=width, height=height, format=name.lower(), bytes=len(data), sha256=sha256(data).hexdigest()
    )


def _identify(data: bytes) -> ImageFile.ImageFile:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of many pixels; _check_memory has a limit of its own
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as exc:
        raise BadPicture("too-many-pixels", f"the picture is too large to be decoded: {exc}") from exc
    except (OSError, ValueError, SyntaxError, KeyError, IndexError, struct.error) as exc:
        raise BadPicture("unknown-format", "the bytes are no picture in a known format") from exc


def _check_memory(image: ImageFile.ImageFile) -> None:
    pixels = image.width * image.height
    if not pixels:
        raise BadPicture("damaged", "the picture has no pixels")
    frames = 2 if image.format in {"WEBP", "AVIF", "GIF"} else 1
    scale = 8 if image.format == "JPEG" and not image.info.get("progressive") else 1
    working_set = pixels * max(len(image.getbands()), 3) * frames // scale**2
    if image.info.get("progressive"):
        working_set += 6 * pixels
    if pixels > MAX_PIXELS or working_set > MAX_DECODE_BYTES:
        raise BadPicture("too-many-pixels", f"{image.width} x {image.height} px are too many to be decoded")


def _decode(image: ImageFile.ImageFile, crop: Crop, side_px: int) -> tuple[Image.Image, bool]:
    """Return the RGB pixels of `crop`, and whether width and height are swapped to make the picture upright."""
    share = min(crop[2] - crop[0], crop[3] - crop[1])
    side = math.ceil(side_px / max(share, 0.01))
    try:
        image.draft("RGB", (side, side))
        image.load()
        orientation = image.getexif().get(_ORIENTATION, 1)  # after load: on a PNG it would decode a bomb
        factor = min(image.size) // side
        shrinks = factor > 1 and image.mode not in {"P", "1"} and not image.mode.startswith("I;")
        small = _on_white(image.reduce(factor) if shrinks else image)
    except (OSError, ValueError, SyntaxError, KeyError, IndexError, TypeError, EOFError, struct.error) as exc:
        raise BadPicture("damaged", f"the picture can't be decoded: {exc}") from exc
    turn = _TURNS.get(orientation)
    return _cut(small if turn is None else small.transpose(turn), crop), orientation in _SWAPPED


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


def _cut(image: Image.Image, crop: Crop) -> Image.Image:
    if crop == WHOLE:
        return image
    left, top = math.floor(crop[0] * image.width), math.floor(crop[1] * image.height)
    right, bottom = math.ceil(crop[2] * image.width), math.ceil(crop[3] * image.height)
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    return image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
