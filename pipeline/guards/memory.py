"""Estimate the memory that decoding takes, from a picture's header alone."""

from __future__ import annotations

from PIL import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from pipeline.guards.picture_guard import SEVERAL_SCANS

# Bytes per px in Pillow's memory; every mode with more than one band takes 4.
_BYTES_PER_PX = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
# Bytes per px of the full-size copies that are made before resizing: to convert palettes and grey levels, and to
# multiply by alpha.
_COPIES = {"1": 1, "P": 8, "PA": 8, "LA": 4, "RGBA": 5, "I": 8, "F": 8, "I;16": 3, "I;16B": 3, "LAB": 4, "YCbCr": 4}
# These decoders hold a frame or a strip of their own in addition to the picture.
_DOUBLE_BUFFERED = {"WEBP", "AVIF", "GIF", "TIFF"}


def decoding_bytes(image: ImageFile.ImageFile, stored: tuple[int, int], decoded: tuple[int, int]) -> int:
    """Estimate the peak of decoding a picture of `stored` px to `decoded` px, with the copies that follow at once."""
    frames = 2 if image.format in _DOUBLE_BUFFERED else 1
    per_px = _BYTES_PER_PX.get(image.mode, 4) * frames + _COPIES.get(image.mode, 0)
    return decoded[0] * decoded[1] * per_px + _coefficients(image, stored)


def _coefficients(image: ImageFile.ImageFile, stored: tuple[int, int]) -> int:
    """Return the bytes that libjpeg holds for all coefficients of a JPEG with several scans: 2 per sample."""
    if not isinstance(image, JpegImageFile) or not image.info.get(SEVERAL_SCANS):
        return 0
    return 2 * image.layers * stored[0] * stored[1]
