"""Laws that hold for every picture."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from pipeline.errors import PrepareError
from pipeline.prepare.fit import fit, fit_from_header
from pipeline.prepare.fit_rules import FitRules
from pipeline.records import Prepared
from tests.prepare.pictures import opened, stored

SAVED_AS = {
    "1": ["PNG", "TIFF", "BMP", "GIF"],
    "L": ["PNG", "JPEG", "TIFF", "BMP", "GIF"],
    "P": ["PNG", "GIF", "BMP", "TIFF"],
    "LA": ["PNG", "TIFF", "WEBP"],
    "PA": ["TIFF"],
    "RGB": ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP"],
    "RGBA": ["PNG", "WEBP", "AVIF", "TIFF", "GIF"],
    "RGBX": ["TIFF"],
    "CMYK": ["JPEG", "TIFF"],
    "YCbCr": ["JPEG", "TIFF"],
    "LAB": ["TIFF"],
    "I": ["TIFF"],
    "F": ["TIFF"],
    "I;16": ["PNG", "TIFF"],
    "I;16B": ["TIFF"],
}
PROFILES = {
    "none": None,
    "sRGB": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "LAB": ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
    "garbage": b"\0" * 128 + b"no profile",
}
sides = st.one_of(st.integers(1, 60), st.integers(1, 900))
long_sides = st.integers(900, 20_000)


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int]:
    """Draw a size of at most about a million px, also the extreme ones: 20,000 px long and a few px thin."""
    if draw(st.integers(0, 4)):
        return draw(sides), draw(sides)
    thin, long = draw(st.integers(1, 40)), draw(long_sides)
    return draw(st.sampled_from([(thin, long), (long, thin)]))


def painted(mode: str, size: tuple[int, int], *, noisy: bool, seed: int) -> Image.Image:
    """Paint a picture of any mode, of noise or of a few flat areas."""
    random = np.random.default_rng(seed)
    grid = size if noisy else (min(size[0], 3), min(size[1], 3))
    pixels = random.integers(0, 256, (grid[1], grid[0], 4), dtype=np.uint8)
    image = Image.fromarray(pixels, "RGBA").resize(size, Image.Resampling.NEAREST)
    if mode in ("RGBA", "LA", "PA"):
        return image if mode == "RGBA" else image.convert("LA" if mode == "LA" else "P").convert(mode)
    if mode == "LAB":
        return Image.merge("LAB", image.convert("RGB").split())
    if mode in ("I;16", "I;16B"):
        deep = np.asarray(image.convert("L")).astype("<u2" if mode == "I;16" else ">u2") * 257
        return Image.frombytes(mode, size, deep.astype("<u2" if mode == "I;16" else ">u2").tobytes())
    return image.convert("RGB").convert(mode) if mode != "RGBX" else image.convert("RGB").convert("RGBX")


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Draw the file of a picture: mode, format, size, orientation, profile, flat or noisy."""
    mode = draw(st.sampled_from(list(SAVED_AS)))
    kind = draw(st.sampled_from(SAVED_AS[mode]))
    size = draw(sizes())
    assume(kind != "WEBP" or max(size) < 2**14)  # the format's own limit
    image = painted(mode, size, noisy=draw(st.booleans()), seed=draw(st.integers(0, 99)))
    options: dict[str, object] = {}
    if kind in ("JPEG", "PNG", "WEBP", "AVIF") and draw(st.booleans()):
        exif = Image.Exif()
        exif[0x0112] = draw(st.integers(0, 9))
        options["exif"] = exif
    profile = PROFILES[draw(st.sampled_from(list(PROFILES)))]
    if profile and kind in ("JPEG", "PNG", "TIFF"):
        options["icc_profile"] = profile
    if kind == "JPEG":
        options |= {"quality": draw(st.integers(1, 100)), "progressive": draw(st.booleans())}
    if kind == "AVIF":
        options["speed"] = 10
    return stored(image, kind, **options)


rules_of_any_kind = st.builds(
    FitRules,
    max_bytes=st.sampled_from([4_000, 30_000, 1_000_000]),
    max_side_px=st.sampled_from([16, 100, 333, 1500]),
    min_quality=st.sampled_from([1, 50]),
    max_quality=st.sampled_from([60, 95, 100]),
    background=st.sampled_from(["#ffffff", "#102030"]),
    upright=st.booleans(),
    strip_metadata=st.booleans(),
    verify=st.booleans(),
)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=70)
@given(data=files(), rules=rules_of_any_kind)
def test_any_picture_ends_inside_the_limits(data: bytes, rules: FitRules) -> None:
    """The result can be decoded, is within both limits, keeps its aspect within one pixel, and is upright."""
    prepared = fit(data, rules)
    shown = opened(prepared.data)
    assert len(prepared.data) <= rules.max_bytes
    assert max(shown.size) <= rules.max_side_px
    assert shown.size == (prepared.width, prepared.height)
    width, height = prepared.source.width, prepared.source.height
    if prepared.action == "encoded":
        assert shown.getexif().get(0x0112, 1) == 1
        scale = max(shown.size) / max(width, height)
        assert abs(shown.width - width * scale) <= 1
        assert abs(shown.height - height * scale) <= 1
        assert shown.mode in ("L", "RGB")
    elif prepared.action == "passed":
        assert prepared.data == data


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=30)
@given(data=files())
def test_what_fits_already_comes_back_byte_identical(data: bytes) -> None:
    """A file that the service accepts is not changed, and fit_from_header() has the same result."""
    with Image.open(BytesIO(data)) as image:
        rules = FitRules(max_bytes=len(data), max_side_px=max(image.size))
        is_accepted = image.format in {"JPEG", "PNG", "GIF", "WEBP", "BMP"}
    prepared = fit(data, rules) if is_accepted else None
    assert prepared is None or (prepared.action, prepared.data) == ("passed", data)
    from_header = fit_from_header(data, rules)
    assert not isinstance(from_header, Prepared) or from_header.data == data


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@settings(max_examples=70)
@given(
    data=files(),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1),
    rules=rules_of_any_kind,
)
def test_damaged_files_end_as_picture_or_stated_failure(
    data: bytes, edits: list[tuple[float, bytes]], rules: FitRules
) -> None:
    """With any bytes overwritten, the result is a picture within the limits or a PrepareError."""
    damaged = bytearray(data)
    for place, patch in edits:
        at = int(place * (len(damaged) - 1))
        damaged[at : at + len(patch)] = patch
    try:
        prepared = fit(bytes(damaged), replace(rules, max_decode_bytes=60_000_000))
    except PrepareError:
        return
    assert len(prepared.data) <= rules.max_bytes
    assert max(prepared.width, prepared.height) <= rules.max_side_px
