"""What a picture's header says, the guards that need nothing more, and how much of it has to be decoded."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import ExifTags, Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from pipeline.errors import PrepareError
from pipeline.prepare.codec import MAX_SOURCE_PX, open_image
from pipeline.prepare.rules import FitRules

Size = tuple[int, int]

# A file can repeat the whole picture in every scan: real encoders write about ten, attacks thousands.
_MAX_SCANS = 200
# Bytes that Pillow keeps per px; every mode with more than one band takes 4.
_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
# Bytes per px of the full-size copies made until the picture is small: palette and grey levels are converted,
# transparency is multiplied in.
_COPIES = {"1": 1, "P": 8, "PA": 8, "LA": 4, "RGBA": 5, "I": 8, "F": 8, "I;16": 3, "I;16B": 3, "LAB": 4, "YCbCr": 4}
# These decoders hold a frame or a strip of their own beside the picture.
_HOLD_TWICE = {"WEBP", "AVIF", "GIF", "TIFF"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A picture opened but not decoded.

    `stored` is the size in px as the pixels come from the decoder, `orientation` (EXIF 1-8) what turns them upright.
    """

    image: ImageFile.ImageFile
    format: str
    stored: Size
    orientation: int

    @property
    def turns(self) -> bool:
        """Tell whether the decoded pixels still have to be turned; Pillow turns TIFF by itself."""
        return self.orientation != 1 and self.format != "TIFF"

    @property
    def upright(self) -> Size:
        """The size in px after turning."""
        width, height = self.stored
        return (height, width) if self.turns and self.orientation >= 5 else (width, height)


def read_header(data: bytes, rules: FitRules) -> Header:
    """Open a picture and apply the guards that need only its header; raises PrepareError."""
    if len(data) > rules.max_file_bytes:
        raise PrepareError(
            "too-large",
            f"the file has {len(data):,} bytes; prepare.max_file_bytes allows {rules.max_file_bytes:,}",
        )
    image = open_image(data)
    width, height = image.size
    if width * height > MAX_SOURCE_PX:
        raise PrepareError("too-many-pixels", f"{width:,} x {height:,} px are more than {MAX_SOURCE_PX:,}")
    if "progressive" in image.info and data.count(b"\xff\xda") > _MAX_SCANS:
        raise PrepareError("too-many-scans", f"the JPEG has more than {_MAX_SCANS} scans, so it is refused")
    name = "JPEG" if isinstance(image, JpegImageFile) else image.format or ""
    return Header(image=image, format=name, stored=image.size, orientation=_orientation(image, data))


def target_size(size: Size, max_side_px: int) -> Size:
    """Scale `size` down so that its longer side is at most `max_side_px`; neither side falls below 1 px.

    Halves go up, because a JPEG decoder's own scale rounds up: 4000 x 2988 decodes to 1500 x 1121, and is done then.
    """
    longest = max(size)
    if longest <= max_side_px:
        return size
    width, height = (max(1, (2 * side * max_side_px + longest) // (2 * longest)) for side in size)
    return width, height


def decode_eighths(header: Header, target: Size) -> int:
    """Choose how many eighths of a JPEG's size are decoded: the fewest that still cover `target`; 8 elsewhere."""
    if header.format != "JPEG":
        return 8
    covering = (n for n in (1, 2, 3, 4) if all(s >= t for s, t in zip(scaled(header.stored, n), target, strict=True)))
    return next(covering, 8)


def scaled(size: Size, eighths: int) -> Size:
    """Return the size in px that libjpeg-turbo decodes to at `eighths`/8 (rounded up)."""
    width, height = (-(-side * eighths // 8) for side in size)
    return width, height


def working_set(header: Header, target: Size) -> int:
    """Estimate the bytes of memory that decoding and resizing take at their peak, from the header alone."""
    image = header.image
    width, height = scaled(header.stored, decode_eighths(header, target))
    twice = 2 if header.format in _HOLD_TWICE else 1
    per_px = _STORED.get(image.mode, 4) * twice + _COPIES.get(image.mode, 0)
    resized = 4 * target[0] * (target[1] + height) if target != (width, height) else 0
    return width * height * per_px + _coefficients(image) + resized


def _coefficients(image: ImageFile.ImageFile) -> int:
    """Return the bytes that libjpeg holds for the whole picture where it comes in several scans: 2 per sample."""
    if not isinstance(image, JpegImageFile) or "progressive" not in image.info:
        return 0
    return 2 * image.layers * image.width * image.height


def _orientation(image: ImageFile.ImageFile, data: bytes) -> int:
    """Return the EXIF orientation, 1 where there is none or it makes no sense."""
    try:
        # PngImageFile.getexif() would decode the whole file when no eXIf chunk comes first; the base method does not.
        exif = Image.Image.getexif(image)
        if image.format == "PNG" and ExifTags.Base.Orientation not in exif:
            exif.load(_late_png_exif(data))
        value = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _late_png_exif(data: bytes) -> bytes:
    """Return the payload of an eXIf chunk that stands after the pixels, empty where there is none."""
    at = data.rfind(b"eXIf")
    length = int.from_bytes(data[max(at - 4, 0) : max(at, 0)], "big")
    return data[at + 4 : at + 4 + length] if at > 0 and length < 2**16 else b""


def check_memory(needed: int, rules: FitRules) -> None:
    """Raise PrepareError where a decode needs more than the whole budget."""
    if needed > rules.max_decode_bytes:
        raise PrepareError(
            "too-much-memory",
            f"decoding takes about {needed:,} bytes; prepare.max_decode_bytes allows {rules.max_decode_bytes:,}",
        )
