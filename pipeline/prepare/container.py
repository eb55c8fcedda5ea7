"""Picture files as containers: check that they are complete, and remove metadata without touching a pixel."""

from __future__ import annotations

import re
from collections.abc import Iterator

from PIL import ExifTags, Image

_EOI, _SOS, _COM = 0xD9, 0xDA, 0xFE
_APP0, _APP2, _APP14, _APP15 = 0xE0, 0xE2, 0xEE, 0xEF
# Inside entropy-coded data FF is followed by 00, by a restart marker, or by another FF.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_METADATA = {b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME"}
_INFO_KEYS = {"exif", "xmp", "comment"}  # where Pillow keeps metadata of GIF, WebP and BMP


def is_complete(data: bytes, kind: str) -> bool:
    """Return True if the file ends as its format requires; the pixels are not checked (about 1 us)."""
    match kind:
        case "JPEG":
            return data.endswith(b"\xff\xd9")
        case "PNG":
            return data.endswith(_PNG_END)
        case "GIF":
            return data.endswith(b";")
        case "WEBP":
            return int.from_bytes(data[4:8], "little") + 8 <= len(data)
    return False


def strip_metadata(data: bytes, image: Image.Image, kind: str, orientation: int) -> bytes | None:
    """Return the file without EXIF, XMP, IPTC and comments, or None if that takes a new encoding.

    A JPEG keeps its orientation (alone in a new EXIF segment), its colour profile and what decoding needs.
    """
    if kind == "JPEG":
        return _strip_jpeg(data, orientation)
    if orientation != 1 or _INFO_KEYS & image.info.keys() - ({"exif", "xmp"} if kind == "PNG" else set()):
        return None
    return _strip_png(data) if kind == "PNG" else data


def _strip_jpeg(data: bytes, orientation: int) -> bytes | None:
    try:
        segments = list(_jpeg_segments(data))
    except IndexError:
        return None
    kept = [data[start:end] for marker, start, end in segments if _is_needed(marker, data[start + 4 : start + 16])]
    if orientation != 1:
        after_jfif = 1 if kept and kept[0][1] == _APP0 else 0
        kept.insert(after_jfif, _orientation_segment(orientation))
    return b"\xff\xd8" + b"".join(kept) + b"\xff\xd9"


def _is_needed(marker: int, payload: bytes) -> bool:
    """Return True if a segment is needed to decode the pixels in their colours."""
    if marker == _APP2:
        return payload.startswith(b"ICC_PROFILE\0")
    return marker in (_APP0, _APP14) or not (_APP0 <= marker <= _APP15 or marker == _COM)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of each segment between SOI and EOI; a scan includes its data.

    Raises IndexError if the file ends before EOI.
    """
    start = 2
    while (marker := data[start + 1]) != _EOI:
        if data[start] != 0xFF:
            raise IndexError(start)
        if marker == 0xFF:  # a fill byte
            start += 1
            continue
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if marker == _SOS:
            next_marker = _NEXT_MARKER.search(data, end)
            if next_marker is None:
                raise IndexError(end)
            end = next_marker.start()
        yield marker, start, end
        start = end


def _orientation_segment(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    payload = exif.tobytes()
    return b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload


def _strip_png(data: bytes) -> bytes:
    kept = [data[:8]]
    start = 8
    while start + 8 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        name = data[start + 4 : start + 8]
        if name not in _PNG_METADATA:
            kept.append(data[start:end])
        if name == b"IEND":
            break
        start = end
    return b"".join(kept)
