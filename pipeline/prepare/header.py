"""Read a picture's header, refuse what it shows to be too large, and choose the scale of decoding."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import ExifTags, Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from pipeline.errors import PrepareError
from pipeline.guards.memory import decoding_bytes
from pipeline.guards.picture_guard import open_image
from pipeline.prepare.fit_rules import FitRules

Size = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A picture that is opened but not decoded.

    `stored_size` is the size in px of the decoder's output, `orientation` (EXIF 1-8) says how to turn that upright.
    """

    image: ImageFile.ImageFile
    format: str
    stored_size: Size
    orientation: int

    @property
    def needs_turning(self) -> bool:
        """True if the decoded pixels have to be turned; Pillow turns TIFF by itself."""
        return self.orientation != 1 and self.format != "TIFF"

    @property
    def upright_size(self) -> Size:
        """The size in px after turning."""
        width, height = self.stored_size
        return (height, width) if self.needs_turning and self.orientation >= 5 else (width, height)


def read_header(data: bytes, rules: FitRules) -> Header:
    """Open a picture; raises PrepareError if its header shows that it is too large, or not a picture."""
    if len(data) > rules.max_file_bytes:
        raise PrepareError(
            "too-large",
            f"the file has {len(data):,} bytes; prepare.max_file_bytes allows {rules.max_file_bytes:,}",
        )
    image = open_image(data)
    name = "JPEG" if isinstance(image, JpegImageFile) else image.format or ""
    return Header(image=image, format=name, stored_size=image.size, orientation=_orientation(image, data))


def target_size(size: Size, max_side_px: int) -> Size:
    """Scale `size` down so that its longer side is at most `max_side_px`; each side has at least 1 px.

    Halves are rounded up like in JPEG decoders: 4000 x 2988 decodes to 1500 x 1121, and need not be resized.
    """
    longest = max(size)
    if longest <= max_side_px:
        return size
    width, height = (max(1, (2 * side * max_side_px + longest) // (2 * longest)) for side in size)
    return width, height


def decode_eighths(header: Header, target: Size) -> int:
    """Return how many eighths of its size a JPEG is decoded at: the fewest that cover `target`. Other formats: 8."""
    if header.format != "JPEG":
        return 8
    for eighths in (1, 2, 3, 4):
        width, height = scaled(header.stored_size, eighths)
        if width >= target[0] and height >= target[1]:
            return eighths
    return 8


def scaled(size: Size, eighths: int) -> Size:
    """Return the size in px that libjpeg-turbo decodes to at `eighths`/8 (rounded up)."""
    width, height = (-(-side * eighths // 8) for side in size)
    return width, height


def working_set(header: Header, target: Size) -> int:
    """Estimate the peak memory of decoding and resizing, in bytes, from the header alone."""
    decoded = scaled(header.stored_size, decode_eighths(header, target))
    resized = 4 * target[0] * (target[1] + decoded[1]) if target != decoded else 0
    return decoding_bytes(header.image, header.stored_size, decoded) + resized


def _orientation(image: ImageFile.ImageFile, data: bytes) -> int:
    """Return the EXIF orientation, or 1 if there is none or it is invalid."""
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
    """Return the payload of an eXIf chunk after the pixels, empty if there is none."""
    start = data.rfind(b"eXIf")
    length = int.from_bytes(data[max(start - 4, 0) : max(start, 0)], "big")
    return data[start + 4 : start + 4 + length] if start > 0 and length < 2**16 else b""


def check_memory(needed: int, rules: FitRules) -> None:
    """Raise PrepareError if a decode needs more than `max_decode_bytes`."""
    if needed > rules.max_decode_bytes:
        raise PrepareError(
            "too-much-memory",
            f"decoding needs about {needed:,} bytes; prepare.max_decode_bytes allows {rules.max_decode_bytes:,}",
        )
