"""Open a picture without decoding it: the formats, the pixels and the scans that a decoder may be given.

The border to Pillow: its settings, and its errors translated into ours.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from pipeline.errors import PrepareError
from pipeline.guards.scans import MAX_SCANS, first_scan_has, has_too_many_scans
from pipeline.guards.signatures import has_picture_signature, identify_other

# MPO is not in the list: Pillow opens it as JPEG, and raises KeyError if MPO is named itself.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP")
MAX_SOURCE_PX = 2**28
# The key of Image.info that says whether a JPEG has several scans.
SEVERAL_SCANS = "several_scans"
# Bytes passed to a decoder at once. With Pillow's 64 KiB it takes the GIL for each block: 2 % of a decode.
_BLOCK_BYTES = 2**23

# Pillow checks this before a scaled decode is set up, so its default would refuse pictures that decode in 30 MB.
# Our own guards are stricter and compare the memory that is really needed.
Image.MAX_IMAGE_PIXELS = MAX_SOURCE_PX
# Pillow's documented block allocator keeps freed pixel memory (blocks of 16 MB) for the next picture. The kernel need
# not clear new pages each time, which makes resizing 15-30 % faster.
Image.core.set_blocks_max(6)  # type: ignore[attr-defined] # the stubs leave the C module out
# Pillow warns of corrupt EXIF and large pictures. Both are handled here, and the warnings would fill cron's mail.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def open_image(data: bytes) -> ImageFile.ImageFile:
    """Open a picture by its content, without decoding it; raises PrepareError.

    Codes: empty, corrupt, unsupported-format, not-a-picture, too-many-pixels, too-many-scans.
    """
    if not data:
        raise PrepareError("empty", "the file is empty")
    with pillow_errors():
        try:
            image = Image.open(BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError as exc:
            if has_picture_signature(data):
                raise PrepareError("corrupt", "the picture's header is damaged") from exc
            code, name = identify_other(data)
            raise PrepareError(code, f"the file is {name}; JPEG, PNG, GIF, WebP, AVIF, TIFF and BMP are read") from exc
    image.decodermaxblock = _BLOCK_BYTES
    _check_pixels(image)
    if isinstance(image, JpegImageFile):
        _check_scans(image, data)
    return image


@contextmanager
def pillow_errors() -> Iterator[None]:
    """Translate the errors of Pillow into PrepareErrors with stable codes.

    On a hostile file Pillow may raise any exception, from struct.error to ZeroDivisionError.
    """
    try:
        yield
    except PrepareError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise PrepareError("too-many-pixels", f"the picture has more than {MAX_SOURCE_PX:,} px") from exc
    except MemoryError as exc:
        raise PrepareError("too-much-memory", "there was not enough memory to decode the picture") from exc
    except Exception as exc:
        if isinstance(exc, EOFError) or "truncated" in str(exc).lower():
            raise PrepareError("truncated", f"the picture is cut off ({exc})") from exc
        raise PrepareError("corrupt", f"the picture can't be decoded ({exc})") from exc


def _check_pixels(image: ImageFile.ImageFile) -> None:
    width, height = image.size
    if not width * height:
        raise PrepareError("corrupt", "the picture has no pixels")
    if width * height > MAX_SOURCE_PX:
        raise PrepareError("too-many-pixels", f"{width:,} x {height:,} px are more than {MAX_SOURCE_PX:,}")


def _check_scans(image: JpegImageFile, data: bytes) -> None:
    """Refuse a JPEG of too many scans, and note if it has more than one: decoding then takes more memory."""
    if has_too_many_scans(data):
        raise PrepareError("too-many-scans", f"the JPEG has more than {MAX_SCANS} scans")
    image.info[SEVERAL_SCANS] = "progressive" in image.info or not first_scan_has(image.layers, data)
