"""Turn an opened picture into pixels as a viewer shows them: small enough, in sRGB, opaque, upright."""

from __future__ import annotations

from PIL import Image

from pipeline.prepare.colour import convert, on_background, to_srgb, turn_upright
from pipeline.prepare.decode import decode, shrink
from pipeline.prepare.header import Header, Size


def render(header: Header, target: Size, background: str) -> Image.Image:
    """Return a picture as L or RGB at `target` px before turning; in this order each step has the fewest pixels."""
    profile = header.image.info.get("icc_profile")
    image = decode(header, target)
    transform = to_srgb(profile, image.mode)
    if transform is None:  # then the background can come first: one band less to resize, the same result
        image = on_background(image, background)
    image = shrink(image, target, was_scaled=image.size != header.stored_size)
    image = on_background(convert(image, transform), background)
    if header.needs_turning:
        image = turn_upright(image, header.orientation)
    image.info = {}
    return image
