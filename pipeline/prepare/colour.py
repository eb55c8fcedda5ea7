"""Convert a picture to how a viewer shows it: in sRGB, opaque, upright."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

from PIL import Image, ImageCms
from PIL.ImageCms import ImageCmsTransform, PyCMSError

_TRANSPOSE_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MAX_PROFILE_BYTES = 4_000_000  # the largest printers' profiles have about 3 MB
_TEST_LEVELS = (0, 64, 128, 191, 255)
_INVISIBLE = 3  # the largest difference, in levels of 255, that is not visible


def to_srgb(profile: bytes | None, mode: str) -> ImageCmsTransform | None:
    """Return the transform from an embedded profile to sRGB, or None if it makes no visible difference.

    A profile that is broken, or that is for another kind of colours than `mode`, is ignored.
    """
    return _transform(profile, mode) if profile and len(profile) <= _MAX_PROFILE_BYTES else None


def convert(image: Image.Image, transform: ImageCmsTransform | None) -> Image.Image:
    """Apply the transform: L stays L, alpha stays, CMYK becomes RGB. Cheap after resizing (1/8 of before)."""
    if transform is None:
        return image.convert("RGB") if image.mode == "CMYK" else image
    changed = ImageCms.applyTransform(image, transform)
    assert changed is not None
    return changed.convert("L") if image.mode == "L" else changed


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCmsTransform | None:
    """Build the transform to sRGB; None if it makes no visible difference, or if the profile is not for `mode`.

    The name of a profile proves nothing, so the transform is tried on 125 colours.
    """
    out_mode = mode if mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, out_mode)
        return transform if mode == "CMYK" or _is_visible(transform, mode) else None
    except (PyCMSError, OSError, ValueError, TypeError):
        return None


def _is_visible(transform: ImageCmsTransform, mode: str) -> bool:
    colours = _test_colours().convert(mode)
    changed = ImageCms.applyTransform(colours, transform)
    assert changed is not None
    before, after = colours.convert("RGB").tobytes(), changed.convert("RGB").tobytes()
    return max(abs(a - b) for a, b in zip(before, after, strict=True)) > _INVISIBLE


@lru_cache(maxsize=1)
def _test_colours() -> Image.Image:
    colours = bytes(level for r in _TEST_LEVELS for g in _TEST_LEVELS for b in _TEST_LEVELS for level in (r, g, b))
    return Image.frombytes("RGB", (125, 1), colours)


def on_background(image: Image.Image, background: str) -> Image.Image:
    """Return the picture on a background colour such as "#ffffff" if it is transparent; the result is L or RGB."""
    if image.mode not in ("LA", "RGBA"):
        return image
    opaque = Image.new("RGB", image.size, background)
    opaque.paste(image, mask=image)
    return opaque


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Apply an EXIF orientation (1-8) to the pixels."""
    transpose = _TRANSPOSE_BY_ORIENTATION.get(orientation)
    return image if transpose is None else image.transpose(transpose)
