"""The files around the pixels: whether they are whole, and how metadata is left out without touching a pixel."""

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


def is_whole(data: bytes, kind: str) -> bool:
    """Tell whether the file's own end marker stands where it should; says nothing about the pixels (about 1 us)."""
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
    """Return the file without EXIF, XMP, IPTC and comments, its pixels' bytes untouched; None where that can't be done.

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
    """Tell whether a segment matters for the pixels or their colours."""
    if marker == _APP2:
        return payload.startswith(b"ICC_PROFILE\0")
    return marker in (_APP0, _APP14) or not (_APP0 <= marker <= _APP15 or marker == _COM)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of each segment between SOI and EOI, a scan together with its data.

    Raises IndexError where the chain breaks off.
    """
    at = 2
    while (marker := data[at + 1]) != _EOI:
        if data[at] != 0xFF:
            raise IndexError(at)
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _SOS:
            found = _NEXT_MARKER.search(data, end)
            if found is None:
                raise IndexError(end)
            end = found.start()
        yield marker, at, end
        at = end


def _orientation_segment(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    payload = exif.tobytes()
    return b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload


def _strip_png(data: bytes) -> bytes:
    kept = [data[:8]]
    at = 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if name not in _PNG_METADATA:
            kept.append(data[at:end])
        if name == b"IEND":
            break
        at = end
    return b"".join(kept)
