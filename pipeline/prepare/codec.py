"""Pillow at its border: which formats are read, what its guards allow, and its errors as ours."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from PIL import Image, ImageFile, UnidentifiedImageError

from pipeline.errors import PrepareError
from pipeline.prepare.sniff import looks_like_picture, what_else

# MPO is not in the list: Pillow opens it as JPEG, and a KeyError comes up when MPO is named itself.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP")
MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
}
MAX_SOURCE_PX = 2**28
# Bytes handed to a decoder at once. With Pillow's 64 KiB it takes the GIL back for each, which costs 2 % of a decode.
_BLOCK_BYTES = 2**23

# Pillow checks this before a scaled decode is set up, so its default would refuse pictures that decode in 30 MB.
# Our own guards (header.py) are stricter and look at the memory really needed.
Image.MAX_IMAGE_PIXELS = MAX_SOURCE_PX
# Freed pixel memory (blocks of 16 MB) is kept for the next picture: the kernel need not clear fresh pages each time,
# which makes resizing 15-30 % faster. This is Pillow's documented block allocator.
Image.core.set_blocks_max(6)  # type: ignore[attr-defined] # the stubs leave the C module out
# Pillow warns of corrupt EXIF and large pictures; both are judged here, and cron mails must stay readable.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def open_image(data: bytes) -> ImageFile.ImageFile:
    """Read the header of a picture, by content; raises PrepareError where `data` is none that is read."""
    if not data:
        raise PrepareError("empty", "the file is empty")
    with pillow_errors():
        try:
            image = Image.open(BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError as exc:
            if looks_like_picture(data):
                raise PrepareError("corrupt", "the picture's header is damaged") from exc
            code, name = what_else(data)
            raise PrepareError(code, f"the file is {name}; JPEG, PNG, GIF, WebP, AVIF, TIFF and BMP are read") from exc
    image.decodermaxblock = _BLOCK_BYTES
    return image


@contextmanager
def pillow_errors() -> Iterator[None]:
    """Turn whatever Pillow raises on a hostile file into a PrepareError with a stable code.

    On such files Pillow raises anything from struct.error to ZeroDivisionError, so every Exception counts.
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
