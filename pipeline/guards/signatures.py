"""Recognise the format of a file by its content; names and Content-Type headers are ignored."""

from __future__ import annotations

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OTHER_SIGNATURES = {
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
_HEAD_BYTES = 1024  # searched for HTML and SVG


def has_picture_signature(data: bytes) -> bool:
    """Return True if `data` begins like a JPEG, PNG, GIF, WebP, AVIF, TIFF or BMP, the formats that are read."""
    if data[:4] == b"RIFF":
        return data[8:12] == b"WEBP"
    return data.startswith(_SIGNATURES) or any(brand in _brands(data) for brand in _AVIF_BRANDS)


def identify_other(data: bytes) -> tuple[str, str]:
    """Return the failure code and the name of what `data` is if it is not a picture of these formats."""
    if brands := _brands(data):
        return "unsupported-format", "a HEIF picture" if any(brand in brands for brand in _HEIF_BRANDS) else "a video"
    for magic, name in _OTHER_SIGNATURES.items():
        if data.startswith(magic):
            return "unsupported-format", name
    return _text_kind(data[:_HEAD_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").lower())


def _brands(data: bytes) -> bytes:
    """Return the brands in an ISO base media file (MP4, HEIF, AVIF), empty for any other file."""
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
    return "not-a-picture", "not in a known picture format"
