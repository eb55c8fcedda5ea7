"""Small copies of pictures, to show in a list."""

from __future__ import annotations

import io

from PIL import ImageOps

from pipeline.service.engine.pictures import PictureHeader, decode

QUALITY = 85


def make_thumbnail(header: PictureHeader, width: int, height: int, *, fills: bool = False) -> bytes:
    """Return a JPEG of at most `width` x `height` px, never larger than the picture; raises BadPicture.

    One that `fills` has exactly the proportions that are asked for: what is too much of the picture is cut off.
    """
    pixels = decode(header).pixels
    if fills:
        scale = min(1.0, pixels.width / width, pixels.height / height)
        pixels = ImageOps.fit(pixels, (max(1, round(width * scale)), max(1, round(height * scale))))
    pixels.thumbnail((width, height))
    target = io.BytesIO()
    pixels.save(target, "JPEG", quality=QUALITY)
    return target.getvalue()
