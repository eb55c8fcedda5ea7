"""From header to a small picture: decode no more pixels than needed, then resize to the exact size."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from math import isfinite

from PIL import Image, features
from PIL.ImageFile import _Tile
from PIL.JpegImagePlugin import JpegImageFile

from pipeline.prepare.header import Header, Size, decode_eighths, scaled

# From twice the size on an integer reduce() comes first (114 -> 29 ms on a 15 MP PNG), the exact resize after it.
_REDUCING_GAP = 1.0
# Resizing is what takes the time after a scaled decode. BICUBIC needs 4 taps a pixel where LANCZOS needs 6: 25-30 %
# less time; mean SSIM to a full decode .9804, with LANCZOS .9811, and .9751 for plain Pillow at quality 95.
_FILTER = Image.Resampling.BICUBIC
# What the decoder has scaled to within a twentieth of the size, as it does with 4,032 px, has been averaged already:
# 2 taps take 40 % less time again, and cost .0008 of SSIM at most (three photographs).
_NEARLY, _FILTER_NEARLY = 1.05, Image.Resampling.BILINEAR
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
_DEEP = ("I", "F")


def decode(header: Header, target: Size) -> Image.Image:
    """Decode no more than `target` px need, not yet turned; the mode is L, LA, RGB, RGBA or CMYK."""
    if isinstance(header.image, JpegImageFile):
        _decode_scaled(header.image, decode_eighths(header, target))
    header.image.load()
    return _plain_mode(header.image)


def shrink(image: Image.Image, target: Size, *, was_scaled: bool = False) -> Image.Image:
    """Resize to exactly `target` px; transparent px lend no colour, because Pillow multiplies alpha in.

    `was_scaled`: the decoder has averaged the px already, so where little is left to do it may be done cheaply.
    """
    if image.size == target:
        return image
    nearly = was_scaled and max(image.size) <= _NEARLY * max(target)
    return image.resize(target, _FILTER_NEARLY if nearly else _FILTER, reducing_gap=_REDUCING_GAP)


def _decode_scaled(image: JpegImageFile, eighths: int) -> None:
    """Make the decoder of `image` produce `eighths`/8 of its size, or the next larger size it offers."""
    if eighths == 3 and three_eighths_work():
        _set_three_eighths(image)
    elif eighths < 8:
        denominator = 8 // eighths
        image.draft(None, (max(1, image.width // denominator), max(1, image.height // denominator)))


def _set_three_eighths(image: JpegImageFile) -> None:
    """Set what draft() itself sets, for a scale it does not offer: libjpeg-turbo makes 3/8 of "1/3".

    It serves sources 2.67 to 4 times too large, 4,000-5,999 px at 1,500: ordinary phone photos (1.2 x pyvips).
    """
    codec, _, offset, args = image.tile[0]
    image._size = scaled(image.size, 3)
    image.tile = [_Tile(codec, (0, 0, *image._size), offset, args)]
    image.decoderconfig = (3, 0)


@cache
def three_eighths_work() -> bool:
    """Tell, by trying it once, whether this Pillow decodes at 3/8; elsewhere draft() is used."""
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
    """Return `image` in a mode that resizes well: no palette, no deep grey, alpha only where something shines through.

    A palette or a colour named transparent becomes RGBA; 16-bit grey keeps its high byte, because convert("L") would
    clip it to white.
    """
    if image.mode in _SIXTEEN_BIT:
        words = image if image.mode == "I;16" else image.convert("I")
        return words.point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in _DEEP:
        return _eight_bit(image)
    if image.has_transparency_data:
        return _drop_opaque(image if image.mode in ("LA", "RGBA") else image.convert("RGBA"))
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _drop_opaque(image: Image.Image) -> Image.Image:
    lowest, _ = image.getchannel("A").getextrema()
    if lowest != 255:
        return image
    return image.convert("L" if image.mode == "LA" else "RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale 32-bit grey to 0..255: from its natural range (1, 255 or 65,535), else from its own extremes."""
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
