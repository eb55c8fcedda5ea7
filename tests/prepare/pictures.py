"""Pictures drawn for the tests."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

# The failure code of each hostile file in ../shared/photos.
HOSTILE = {
    "h01_empty.jpg": "empty",
    "h02_onebyte.jpg": "not-a-picture",
    "h03_html.jpg": "not-a-picture",
    "h04_trunc_base_50.jpg": "truncated",
    "h05_trunc_prog_50.jpg": "truncated",
    "h07_trunc_png_50.png": "truncated",
    "h08_header_only.jpg": "truncated",
    "h09_bomb_50k_1bit.png": "too-many-pixels",
    "h18_png_crc.png": "corrupt",
    "h19_svg.jpg": "unsupported-format",
}


def scene(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Draw a picture whose four quarters are red, green, blue and grey, so that any turn or swap is visible."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    middle, centre = (height + 1) // 2, (width + 1) // 2
    pixels[:middle, :centre] = (220, 40, 40)
    pixels[:middle, centre:] = (40, 200, 60)
    pixels[middle:, :centre] = (40, 60, 210)
    pixels[middle:, centre:] = (128, 128, 128)
    return Image.fromarray(pixels).convert(mode)


def noise(width: int, height: int, *, seed: int = 0) -> Image.Image:
    """Draw a picture that no encoder can compress well."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def stored(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return the file of a picture."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    """Decode a file completely."""
    image = Image.open(BytesIO(data))
    image.load()
    return image


def with_orientation(image: Image.Image, orientation: int, kind: str = "JPEG") -> bytes:
    """Store `image` turned, so that applying `orientation` gives the same picture."""
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "A camera with a name"
    turned = image.transpose(back[orientation]) if orientation in back else image
    return stored(turned, kind, exif=exif)


def far_apart(a: Image.Image, b: Image.Image) -> float:
    """Return the mean difference of two pictures of one size, in levels of 255."""
    one, two = (np.asarray(image.convert("RGB"), dtype=np.float64) for image in (a, b))
    return float(abs(one - two).mean())
