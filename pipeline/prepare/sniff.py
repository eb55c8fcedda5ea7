"""What bytes are, judged by themselves: names and Content-Type headers mean nothing."""

from __future__ import annotations

_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OTHERS = {
    b"%PDF": "a PDF",
    b"8BPS": "a Photoshop file",
    b"\0\0\1\0": "an icon",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
    b"\x1f\x8b": "a gzip archive",
    b"PK\3\4": "a zip archive",
    b"\x1aE\xdf\xa3": "a video",
}
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_HEAD = 1024  # bytes looked at to tell text apart


def looks_like_picture(data: bytes) -> bool:
    """Tell whether `data` starts as one of the formats that are read: JPEG, PNG, GIF, WebP, AVIF, TIFF, BMP."""
    if data[:4] == b"RIFF":
        return data[8:12] == b"WEBP"
    return data.startswith(_PICTURES) or any(brand in _brands(data) for brand in _AVIF_BRANDS)


def what_else(data: bytes) -> tuple[str, str]:
    """Name the code and the thing that `data` is where it is no picture that is read."""
    if brands := _brands(data):
        return "unsupported-format", "a HEIF picture" if any(brand in brands for brand in _HEIF_BRANDS) else "a video"
    for magic, name in _OTHERS.items():
        if data.startswith(magic):
            return "unsupported-format", name
    return _text_kind(data[:_HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").lower())


def _brands(data: bytes) -> bytes:
    """Return the brands that a file of the MPEG family names, empty for any other file."""
    return data[8:64] if data[4:8] == b"ftyp" else b""


def _text_kind(head: bytes) -> tuple[str, str]:
    if b"<svg" in head:
        return "unsupported-format", "an SVG drawing"
    if b"<html" in head or head.startswith(b"<!doctype html"):
        return "not-a-picture", "a web page (HTML)"
    if head.startswith((b"{", b"[")):
        return "not-a-picture", "JSON"
    if head.startswith(b"<?xml"):
        return "not-a-picture", "XML"
    return "not-a-picture", "no picture format that is known"
