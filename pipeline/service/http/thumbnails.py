"""Small copies of the catalogue's pictures, for the thumbnailUrl of a response."""

from __future__ import annotations

import io

from pipeline.service.engine.pictures import MAX_FILE_BYTES, open_picture
from pipeline.service.findings import BadPicture, Engine
from pipeline.service.http.json_objects import THUMBNAIL_SIDE_PX

QUALITY = 85


def make_thumbnail(engine: Engine, token: str) -> bytes | None:
    """Return a JPEG of at most THUMBNAIL_SIDE_PX; None if the catalogue has no such picture. CPU-bound."""
    path = engine.picture_file(token)
    try:
        if path is None or path.stat().st_size > MAX_FILE_BYTES:
            return None
        pixels = open_picture(path.read_bytes()).pixels
    except (OSError, BadPicture):
        return None
    pixels.thumbnail((THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX))
    target = io.BytesIO()
    pixels.save(target, "JPEG", quality=QUALITY)
    return target.getvalue()
