"""One picture within the provider's limits: passed untouched where possible, else decoded once and encoded well.

Synchronous, and pure but for the clock: bytes in, bytes and their provenance out. What waits lives in preparer.py.
"""

from __future__ import annotations

from hashlib import sha256
from time import perf_counter

from pipeline.prepare.codec import MEDIA_TYPES, pillow_errors
from pipeline.prepare.colour import convert, on_background, to_srgb, turn_upright
from pipeline.prepare.container import is_whole, strip_metadata
from pipeline.prepare.decode import decode, shrink
from pipeline.prepare.encode import File, encode_within, is_line_art, or_png
from pipeline.prepare.header import Header, check_memory, read_header, target_size, working_set
from pipeline.prepare.rules import FitRules
from pipeline.records import Prepared, SourceFacts

_LOSSLESS = {"PNG", "GIF"}
_LINE_ART = 0.1  # bytes per px of a lossless file, below which it is a drawing or a screenshot


def fit(data: bytes, rules: FitRules) -> Prepared:
    """Bring a picture within `rules`; raises PrepareError with a stable code."""
    started = perf_counter()
    header = read_header(data, rules)
    kept = _sendable(data, header, rules)
    if kept is None:
        return _encoded(data, header, rules, started)
    if _needs_check(kept, header, rules):
        _check_pixels(header, rules)
    return _untouched(data, kept, header, started)


def glance(data: bytes, rules: FitRules) -> Prepared | int:
    """Fit a picture whose header alone shows that it passes; else return the bytes of memory that fit() takes."""
    started = perf_counter()
    header = read_header(data, rules)
    kept = _sendable(data, header, rules)
    if kept is not None and not _needs_check(kept, header, rules):
        return _untouched(data, kept, header, started)
    needed = working_set(header, target_size(header.stored, rules.max_side_px))
    check_memory(needed, rules)
    return needed


def _sendable(data: bytes, header: Header, rules: FitRules) -> bytes | None:
    """Return the file as it may be sent without a new encoding, None where it has to be encoded."""
    if header.format not in rules.formats or max(header.stored) > rules.max_side_px:
        return None
    if rules.upright and header.orientation != 1:
        return None
    kept: bytes | None = data
    if rules.strip_metadata:
        kept = strip_metadata(data, header.image, header.format, header.orientation)
    return kept if kept is not None and len(kept) <= rules.max_bytes else None


def _needs_check(kept: bytes, header: Header, rules: FitRules) -> bool:
    return rules.verify or not is_whole(kept, header.format)


def _check_pixels(header: Header, rules: FitRules) -> None:
    """Decode the whole picture, only to see that it can be done (2-4 ms at 1,500 px)."""
    check_memory(working_set(header, header.stored), rules)
    with pillow_errors():
        header.image.load()


def _untouched(data: bytes, kept: bytes, header: Header, started: float) -> Prepared:
    return Prepared(
        source=_facts(data, header),
        data=kept,
        action="passed" if kept == data else "stripped",
        width=header.stored[0],
        height=header.stored[1],
        format=header.format,
        media_type=MEDIA_TYPES[header.format],
        ms=_since(started),
    )


def _encoded(data: bytes, header: Header, rules: FitRules, started: float) -> Prepared:
    target = target_size(header.stored, rules.max_side_px)
    check_memory(working_set(header, target), rules)
    with pillow_errors():
        file = _encode(data, header, target, rules)
    return Prepared(
        source=_facts(data, header),
        data=file.data,
        action="encoded",
        width=file.size[0],
        height=file.size[1],
        format=file.format,
        media_type=MEDIA_TYPES[file.format],
        quality=file.quality,
        scale=max(file.size) / max(header.stored),
        encodes=file.encodes,
        ms=_since(started),
    )


def _encode(data: bytes, header: Header, target: tuple[int, int], rules: FitRules) -> File:
    """Decode, resize, convert, turn, encode: in this order each step works on the fewest pixels."""
    profile = header.image.info.get("icc_profile")
    image = decode(header, target)
    transform = to_srgb(profile, image.mode)
    if transform is None:  # then the background may come first: a band less to resize, to the same result
        image = on_background(image, rules.background)
    image = shrink(image, target, was_scaled=image.size != header.stored)
    image = on_background(convert(image, transform), rules.background)
    if header.turns:
        image = turn_upright(image, header.orientation)
    image.info = {}
    file = encode_within(image, rules)
    width, height = header.stored
    drawn = header.format in _LOSSLESS and len(data) < _LINE_ART * width * height
    may_be_png = drawn and "PNG" in rules.formats
    return or_png(image, file, rules) if may_be_png and is_line_art(image, file) else file


def _facts(data: bytes, header: Header) -> SourceFacts:
    width, height = header.upright
    return SourceFacts(
        sha256=sha256(data).hexdigest(),
        width=width,
        height=height,
        bytes=len(data),
        format=header.format,
        orientation=header.orientation,
    )


def _since(started: float) -> float:
    return round((perf_counter() - started) * 1000, 3)
