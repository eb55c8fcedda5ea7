"""Bring one picture within the provider's limits: unchanged if possible, else decoded and encoded once.

These functions are synchronous, and pure but for the clock. Everything that waits is in preparer.py.
"""

from __future__ import annotations

from hashlib import sha256
from time import perf_counter

from PIL import Image

from pipeline.guards.picture_guard import pillow_errors
from pipeline.prepare.container import is_complete, strip_metadata
from pipeline.prepare.encode import EncodedPicture, encode_within, is_line_art, png_if_better
from pipeline.prepare.fit_rules import FitRules
from pipeline.prepare.header import Header, check_memory, read_header, target_size, working_set
from pipeline.prepare.render import render
from pipeline.prepare.thumbnail import decoded_thumbnail, make_thumbnail, thumbnail_memory
from pipeline.records import Prepared, SourceFacts

MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
}
_LOSSLESS = {"PNG", "GIF"}
_LINE_ART_BYTES_PER_PX = 0.1  # a lossless file with fewer is a drawing or a screenshot


def fit(data: bytes, rules: FitRules) -> Prepared:
    """Bring a picture within `rules`; raises PrepareError with a stable code."""
    started = perf_counter()
    header = read_header(data, rules)
    kept = _without_encoding(data, header, rules)
    if kept is None:
        return _prepared_encoded(data, header, rules, started)
    if _needs_decoding_check(kept, header, rules):
        _check_pixels(header, rules)
    return _prepared_unchanged(data, kept, header, started, decoded_thumbnail(header, rules))


def fit_from_header(data: bytes, rules: FitRules) -> Prepared | int:
    """Fit a picture if its header is enough for that; otherwise return the bytes of memory that fit() needs."""
    started = perf_counter()
    header = read_header(data, rules)
    kept = _without_encoding(data, header, rules)
    if kept is not None and not _needs_decoding_check(kept, header, rules):
        return thumbnail_memory(header, rules) or _prepared_unchanged(data, kept, header, started)
    needed = working_set(header, target_size(header.stored_size, rules.max_side_px))
    check_memory(needed, rules)
    return needed


def _without_encoding(data: bytes, header: Header, rules: FitRules) -> bytes | None:
    """Return the file, perhaps without its metadata, if it can be sent so; None if it must be encoded."""
    if header.format not in rules.formats or max(header.stored_size) > rules.max_side_px:
        return None
    if rules.upright and header.orientation != 1:
        return None
    kept: bytes | None = data
    if rules.strip_metadata:
        kept = strip_metadata(data, header.image, header.format, header.orientation)
    return kept if kept is not None and len(kept) <= rules.max_bytes else None


def _needs_decoding_check(kept: bytes, header: Header, rules: FitRules) -> bool:
    return rules.verify or not is_complete(kept, header.format)


def _check_pixels(header: Header, rules: FitRules) -> None:
    """Raise PrepareError unless the whole picture can be decoded (2-4 ms at 1,500 px)."""
    check_memory(working_set(header, header.stored_size), rules)
    with pillow_errors():
        header.image.load()


def _prepared_unchanged(data: bytes, kept: bytes, header: Header, started: float, thumbnail: bytes = b"") -> Prepared:
    return Prepared(
        source=_source_facts(data, header),
        data=kept,
        action="passed" if kept == data else "stripped",
        width=header.stored_size[0],
        height=header.stored_size[1],
        format=header.format,
        media_type=MEDIA_TYPES[header.format],
        ms=_ms_since(started),
        thumbnail=thumbnail,
    )


def _prepared_encoded(data: bytes, header: Header, rules: FitRules, started: float) -> Prepared:
    target = target_size(header.stored_size, rules.max_side_px)
    check_memory(working_set(header, target), rules)
    with pillow_errors():
        image = render(header, target, rules.background)
        file = _encode(image, data, header, rules)
    return Prepared(
        source=_source_facts(data, header),
        data=file.data,
        action="encoded",
        width=file.size[0],
        height=file.size[1],
        format=file.format,
        media_type=MEDIA_TYPES[file.format],
        quality=file.quality,
        scale=max(file.size) / max(header.stored_size),
        encodes=file.encodes,
        ms=_ms_since(started),
        thumbnail=make_thumbnail(image, rules.thumbnail_px),
    )


def _encode(image: Image.Image, data: bytes, header: Header, rules: FitRules) -> EncodedPicture:
    """Encode as JPEG, or as PNG where that is better for a drawing."""
    file = encode_within(image, rules)
    width, height = header.stored_size
    drawn = header.format in _LOSSLESS and len(data) < _LINE_ART_BYTES_PER_PX * width * height
    may_be_png = drawn and "PNG" in rules.formats
    return png_if_better(image, file, rules) if may_be_png and is_line_art(image, file) else file


def _source_facts(data: bytes, header: Header) -> SourceFacts:
    width, height = header.upright_size
    return SourceFacts(
        sha256=sha256(data).hexdigest(),
        width=width,
        height=height,
        bytes=len(data),
        format=header.format,
        orientation=header.orientation,
    )


def _ms_since(started: float) -> float:
    return round((perf_counter() - started) * 1000, 3)
