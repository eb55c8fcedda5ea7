"""Decode a picture at the smallest sufficient scale, then resize it to the exact size."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from math import isfinite

from PIL import Image, features
from PIL.ImageFile import _Tile
from PIL.JpegImagePlugin import JpegImageFile

from pipeline.prepare.header import Header, Size, decode_eighths, scaled

# A picture of at least twice the size is reduced by an integer first (114 -> 29 ms on a 15 MP PNG), then resized.
_REDUCING_GAP = 1.0
# After a scaled decode, resizing takes most of the time. BICUBIC has 4 taps a pixel and LANCZOS 6, so it takes 25-30 %
# less. Mean SSIM to a full decode: BICUBIC .9804, LANCZOS .9811, plain Pillow at quality 95 .9751.
_FILTER = Image.Resampling.BICUBIC
# A decoder that scales to within a twentieth of the size, as with 4,032 px, has averaged the pixels already. 2 taps
# then take another 40 % less time, and cost .0008 of SSIM at most (three photographs).
_NEARLY, _FILTER_NEARLY = 1.05, Image.Resampling.BILINEAR
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
_THIRTY_TWO_BIT = ("I", "F")


def decode(header: Header, target: Size) -> Image.Image:
    """Decode at the smallest scale that covers `target` px, before turning; the mode is L, LA, RGB, RGBA or CMYK."""
    if isinstance(header.image, JpegImageFile) and header.image.tile:  # it has none once it is decoded
        _decode_scaled(header.image, decode_eighths(header, target))
    header.image.load()
    return _plain_mode(header.image)


def shrink(image: Image.Image, target: Size, *, was_scaled: bool = False) -> Image.Image:
    """Resize to exactly `target` px; the colour of transparent px has no effect, since Pillow multiplies by alpha.

    `was_scaled` says that the decoder has averaged the px already, so a cheap filter is enough for small changes.
    """
    if image.size == target:
        return image
    nearly = was_scaled and max(image.size) <= _NEARLY * max(target)
    return image.resize(target, _FILTER_NEARLY if nearly else _FILTER, reducing_gap=_REDUCING_GAP)


def _decode_scaled(image: JpegImageFile, eighths: int) -> None:
    """Make the decoder of `image` produce `eighths`/8 of its size, or the next larger size that it supports."""
    if eighths == 3 and supports_three_eighths():
        _set_three_eighths(image)
    elif eighths < 8:
        denominator = 8 // eighths
        image.draft(None, (max(1, image.width // denominator), max(1, image.height // denominator)))


def _set_three_eighths(image: JpegImageFile) -> None:
    """Set what draft() sets, for a scale that it does not support: libjpeg-turbo turns "1/3" into 3/8.

    This scale is for sources 2.67 to 4 times too large: 4,000-5,999 px for 1,500, ordinary phone photos (1.2 x pyvips).
    """
    codec, _, offset, args = image.tile[0]
    image._size = scaled(image.size, 3)
    image.tile = [_Tile(codec, (0, 0, *image._size), offset, args)]
    image.decoderconfig = (3, 0)


@cache
def supports_three_eighths() -> bool:
    """Return True if this Pillow decodes at 3/8, which is tried once; otherwise draft() is used."""
    if not features.check_feature("libjpeg_turbo"):
        return False
    file = BytesIO()
    Image.linear_gradient("L").save(file, "JPEG", quality=95)
    try:
        with Image.open(file, formats=("JPEG",)) as image:
            assert isinstance(image, JpegImageFile)
            _set_three_eighths(image)
            image.load()
            middle = image.getpixel((48, 48))
            return isinstance(middle, float | int) and abs(middle - 128) < 8
    except (AttributeError, TypeError, ValueError, OSError):
        return False


def _plain_mode(image: Image.Image) -> Image.Image:
    """Return `image` in a mode that can be resized: no palette, 8-bit grey, alpha only if some px are transparent.

    A picture with a transparent colour becomes RGBA. 16-bit grey keeps its high byte, because convert("L") would clip
    it to white.
    """
    if image.mode in _SIXTEEN_BIT:
        words = image if image.mode == "I;16" else image.convert("I")
        return words.point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in _THIRTY_TWO_BIT:
        return _eight_bit(image)
    if image.has_transparency_data:
        return _drop_opaque_alpha(image if image.mode in ("LA", "RGBA") else image.convert("RGBA"))
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _drop_opaque_alpha(image: Image.Image) -> Image.Image:
    lowest, _ = image.getchannel("A").getextrema()
    if lowest != 255:
        return image
    return image.convert("L" if image.mode == "LA" else "RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale 32-bit grey to 0..255 from 0..1, 0..255 or 0..65,535, whichever fits, else from its own extremes."""
    grey = image.convert("F")
    low, high = grey.getextrema()
    assert isinstance(low, float)
    assert isinstance(high, float)
    if not (isfinite(low) and isfinite(high)):
        low, high = 0.0, 1.0
    if low >= 0:
        low, high = 0.0, next((top for top in (1.0, 255.0, 65535.0) if high <= top), high)
    scale = 255 / (high - low or 1)
    return grey.point(lambda value: value * scale + (0.5 - low * scale)).convert("L")
