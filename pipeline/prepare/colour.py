"""Colours as a viewer sees them: ICC profiles to sRGB, transparency onto a background, pixels upright."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

from PIL import Image, ImageCms
from PIL.ImageCms import ImageCmsTransform, PyCMSError

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MAX_PROFILE_BYTES = 4_000_000  # the largest printers' profiles have about 3 MB
_LEVELS = (0, 64, 128, 191, 255)
_SAME = 3  # levels of 255: below it nobody sees a difference


def to_srgb(profile: bytes | None, mode: str) -> ImageCmsTransform | None:
    """Return the transform from an embedded profile to sRGB; None where it changes nothing that is seen.

    A profile that is broken, or made for other colours than `mode` has, is ignored.
    """
    return _transform(profile, mode) if profile and len(profile) <= _MAX_PROFILE_BYTES else None


def convert(image: Image.Image, transform: ImageCmsTransform | None) -> Image.Image:
    """Return `image` in sRGB: L stays L, alpha stays, CMYK becomes RGB; 8 times cheaper after resizing than before."""
    if transform is None:
        return image.convert("RGB") if image.mode == "CMYK" else image
    changed = ImageCms.applyTransform(image, transform)
    assert changed is not None
    return changed.convert("L") if image.mode == "L" else changed


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCmsTransform | None:
    """Build the transform to sRGB, None where it changes nothing that is seen, or where the profile does not fit.

    What a profile is called says nothing: only trying it on 125 colours tells.
    """
    out_mode = mode if mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, out_mode)
        return transform if mode == "CMYK" or _is_seen(transform, mode) else None
    except (PyCMSError, OSError, ValueError, TypeError):
        return None


def _is_seen(transform: ImageCmsTransform, mode: str) -> bool:
    detector = _detector().convert(mode)
    changed = ImageCms.applyTransform(detector, transform)
    assert changed is not None
    before, after = detector.convert("RGB").tobytes(), changed.convert("RGB").tobytes()
    return max(abs(a - b) for a, b in zip(before, after, strict=True)) > _SAME


@lru_cache(maxsize=1)
def _detector() -> Image.Image:
    colours = bytes(level for r in _LEVELS for g in _LEVELS for b in _LEVELS for level in (r, g, b))
    return Image.frombytes("RGB", (125, 1), colours)


def on_background(image: Image.Image, background: str) -> Image.Image:
    """Lay a transparent picture on a colour such as "#ffffff"; the result is L or RGB."""
    if image.mode not in ("LA", "RGBA"):
        return image
    ground = Image.new("RGB", image.size, background)
    ground.paste(image, mask=image)
    return ground


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Apply an EXIF orientation (1-8) to the pixels."""
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)
