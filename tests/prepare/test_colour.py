"""Colour profiles, 16-bit and 32-bit grey, and CMYK come out as a viewer shows them."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.prepare.colour import to_srgb
from pipeline.prepare.decode import supports_three_eighths
from pipeline.prepare.fit import fit
from pipeline.prepare.fit_rules import FitRules
from tests.prepare.pictures import far_apart, opened, scene, stored

RULES = FitRules(max_bytes=200_000, max_side_px=300)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile() -> bytes:
    """Return sRGB's profile with the colorants' tags renamed: what is stored as red is shown as green, and so on."""
    data = bytearray(SRGB)
    names = {b"rXYZ": b"gXYZ", b"gXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}
    (count,) = struct.unpack(">I", data[128:132])
    for entry in range(132, 132 + 12 * count, 12):
        name = bytes(data[entry : entry + 4])
        data[entry : entry + 4] = names.get(name, name)
    return bytes(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_swapping_profile_is_applied(kind: str) -> None:
    """Pixels stored with their colours swapped, under a profile that swaps them back, come out natural."""
    red, green, blue = scene(600, 600).split()
    stored_swapped = Image.merge("RGB", (blue, red, green))
    data = stored(stored_swapped, kind, icc_profile=swapped_profile())
    natural = scene(300, 300)
    shown = opened(fit(data, RULES).data)
    assert far_apart(shown, natural) < far_apart(stored_swapped.resize((300, 300)), natural) / 10


def test_profile_that_changes_nothing_costs_nothing() -> None:
    """A profile is compared with sRGB by its effect on colours, not by its name."""
    renamed = SRGB.replace(b"sRGB", b"Mine")
    assert to_srgb(SRGB, "RGB") is None
    assert to_srgb(renamed, "RGB") is None
    assert to_srgb(swapped_profile(), "RGB") is not None


@pytest.mark.parametrize(
    ("profile", "mode"),
    [(b"garbage" * 40, "RGB"), (SRGB[:200], "RGB"), (SRGB, "L"), (SRGB, "CMYK"), (b"\0" * 5_000_000, "RGB")],
    ids=["garbage", "cut off", "RGB profile for grey", "RGB profile for CMYK", "5 MB"],
)
def test_profile_that_does_not_fit_is_ignored(profile: bytes, mode: str) -> None:
    """A broken or mismatched profile never costs the picture."""
    assert to_srgb(profile, mode) is None


def test_transparency_survives_a_profile() -> None:
    """The colours of a transparent picture with a profile are converted, the background's colour is not."""
    logo = Image.new("RGBA", (600, 600), (0, 0, 0, 0))
    logo.paste((0, 200, 0, 255), (0, 0, 600, 300))
    data = stored(logo, "PNG", icc_profile=swapped_profile())
    shown = opened(fit(data, FitRules(max_bytes=200_000, max_side_px=300, background="#0a14c8")).data).convert("RGB")
    assert shown.getpixel((150, 280)) == pytest.approx((10, 20, 200), abs=4)
    assert shown.getpixel((150, 20)) != pytest.approx((0, 200, 0), abs=40)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_not_white(kind: str) -> None:
    """A 16-bit gradient keeps its whole range, where a plain conversion would clip all of it to white."""
    gradient = np.linspace(0, 65535, 600, dtype=np.uint16)[None, :].repeat(400, axis=0)
    shown = np.asarray(opened(fit(stored(Image.fromarray(gradient), kind), RULES).data))
    assert shown.min() < 5
    assert shown.max() > 250
    assert shown.mean() == pytest.approx(127, abs=3)


@pytest.mark.parametrize(
    ("top", "kind"),
    [(1.0, np.float32), (200.0, np.float32), (1e9, np.float32), (200, np.int32), (65535, np.int32), (1e9, np.int32)],
)
def test_32_bit_grey_is_scaled_from_its_natural_range(top: float, kind: type[np.generic]) -> None:
    """32-bit grey of any scale comes out dark where it is dark, and light where it is light."""
    gradient = np.linspace(0, top, 600)[None, :].repeat(400, axis=0).astype(kind)
    shown = np.asarray(opened(fit(stored(Image.fromarray(gradient), "TIFF"), RULES).data)).astype(float)
    assert shown[:, :30].mean() < 20
    assert shown[:, -30:].mean() > 150


def test_grey_with_nan_is_a_picture() -> None:
    """Scientific pictures may contain NaN and infinity; they become black."""
    values = np.full((400, 400), 0.5, dtype=np.float32)
    values[0, 0], values[0, 1] = np.nan, np.inf
    assert np.asarray(opened(fit(stored(Image.fromarray(values), "TIFF"), RULES).data)).max() > 100


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(kind: str) -> None:
    """The colours of CMYK pictures come out right, not inverted."""
    shown = opened(fit(stored(scene(600, 600, "CMYK"), kind), RULES).data)
    assert shown.mode == "RGB"
    assert far_apart(shown, scene(300, 300)) < 5


def test_palette_with_one_transparent_colour() -> None:
    """A palette's transparent colour is replaced by the background."""
    image = scene(600, 600).quantize(8)
    index = image.getpixel((10, 10))
    shown = opened(fit(stored(image, "PNG", transparency=index), RULES).data).convert("RGB")
    assert shown.getpixel((20, 20)) == pytest.approx((255, 255, 255), abs=3)
    assert shown.getpixel((280, 20)) == pytest.approx((40, 200, 60), abs=12)


def test_three_eighths_are_decoded_here() -> None:
    """The wheel of this Pillow contains libjpeg-turbo, so the fast scale is used."""
    assert supports_three_eighths()


@pytest.mark.parametrize("side", [799, 800, 801, 899, 1200, 1201, 2399, 2401, 4801])
@pytest.mark.parametrize("fast", [True, False])
def test_scaled_decode_shows_the_whole_picture(side: int, *, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every scale of the decoder, and with the fallback, the picture is complete and sharp."""
    monkeypatch.setattr("pipeline.prepare.decode.supports_three_eighths", lambda: fast)
    image = scene(side, side // 2)
    shown = opened(fit(stored(image, "JPEG", quality=95), RULES).data)
    assert far_apart(shown, image.resize(shown.size, Image.Resampling.LANCZOS)) < 2
