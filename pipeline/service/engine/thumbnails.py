"""Small copies of pictures, to show in a list."""

from __future__ import annotations

import io

from pipeline.service.engine.pictures import PictureHeader, decode

QUALITY = 85


def make_thumbnail(header: PictureHeader, side_px: int) -> bytes:
    """Return a JPEG of at most `side_px` a side; raises BadPicture."""
    pixels = decode(header).pixels
    pixels.thumbnail((side_px, side_px))
    target = io.BytesIO()
    pixels.save(target, "JPEG", quality=QUALITY)
    return target.getvalue()
