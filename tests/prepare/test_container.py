"""Removing metadata leaves every pixel as it was."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from pipeline.prepare.container import is_complete
from pipeline.prepare.fit import fit
from pipeline.prepare.fit_rules import FitRules
from tests.prepare.pictures import far_apart, opened, scene, stored, with_orientation

STRIP = FitRules(max_bytes=200_000, max_side_px=400, strip_metadata=True)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def secret_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "SECRET camera"
    exif[0x9003] = "SECRET time"
    return exif


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_loses_its_metadata_and_keeps_every_pixel(mode: str, *, progressive: bool) -> None:
    """EXIF, XMP, comments and trailers are removed; the pixels, their colour profile and the Adobe marker stay."""
    image = scene(120, 80, mode)
    options = {"exif": secret_exif(), "comment": b"SECRET", "xmp": b"<x>SECRET</x>", "icc_profile": PROFILE}
    data = stored(image, "JPEG", progressive=progressive, **options) + b"SECRET trailer"
    prepared = fit(data, STRIP)
    assert prepared.action == "stripped"
    assert b"SECRET" in data
    assert b"SECRET" not in prepared.data
    before, after = opened(data), opened(prepared.data)
    assert np.array_equal(np.asarray(before), np.asarray(after))
    assert after.info["icc_profile"] == PROFILE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_stripped_jpeg_keeps_its_orientation_alone(orientation: int) -> None:
    """Orientation is the only EXIF tag that stays, since the picture would be turned without it."""
    prepared = fit(with_orientation(scene(120, 80), orientation), STRIP)
    exif = opened(prepared.data).getexif()
    assert prepared.action == "stripped"
    assert dict(exif) == ({0x0112: orientation} if orientation > 1 else {})


def test_png_loses_its_text_and_keeps_every_pixel() -> None:
    """The text chunks and EXIF of a PNG are removed, all else stays byte for byte."""
    text = PngInfo()
    text.add_text("Comment", "SECRET")
    text.add_itxt("XML:com.adobe.xmp", "<x>SECRET</x>")
    data = stored(scene(50, 40), "PNG", pnginfo=text, exif=secret_exif())
    prepared = fit(data, STRIP)
    assert prepared.action == "stripped"
    assert b"SECRET" not in prepared.data
    assert prepared.data == stored(scene(50, 40), "PNG")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_file_without_metadata_passes_the_stripper_untouched(kind: str) -> None:
    """A file without metadata stays byte-identical."""
    data = stored(scene(50, 40), kind)
    assert fit(data, STRIP).data == fit(data, replace(STRIP, strip_metadata=False)).data == data


@pytest.mark.parametrize(
    ("kind", "options"),
    [("GIF", {"comment": b"SECRET"}), ("WEBP", {"exif": secret_exif()}), ("PNG", {"exif": b"Exif\0\0"})],
    ids=["GIF comment", "WebP EXIF", "rotated PNG"],
)
def test_metadata_that_can_not_be_cut_out_is_encoded_away(kind: str, options: dict[str, object]) -> None:
    """Where removing metadata is not lossless, the picture is encoded without it, and upright."""
    data = with_orientation(scene(50, 40), 6, "PNG") if kind == "PNG" else stored(scene(50, 40), kind, **options)
    prepared = fit(data, STRIP)
    assert prepared.action == "encoded"
    assert b"SECRET" not in prepared.data
    assert far_apart(opened(prepared.data), scene(50, 40)) < 5


def test_stripping_can_bring_a_file_inside_the_limit() -> None:
    """A small picture with much metadata is not encoded again."""
    data = stored(scene(100, 100), "JPEG", xmp=b"x" * 60_000, comment=b"y" * 60_000)
    prepared = fit(data, replace(STRIP, max_bytes=20_000))
    assert (prepared.action, len(prepared.data) <= 20_000) == ("stripped", True)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
@given(cut=st.integers(1, 200))
@settings(max_examples=20)
def test_end_marker_shows_that_a_file_is_complete(kind: str, cut: int) -> None:
    """A complete file has its end marker, and a file that was cut off has not."""
    data = stored(scene(60, 60), kind)
    assert is_complete(data, kind)
    assert not is_complete(data[:-cut], kind) or Image.open(BytesIO(data[:-cut])).size == (60, 60)
