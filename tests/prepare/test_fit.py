"""What fit() does with a picture, case by case."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from pipeline.config import PrepareConfig
from pipeline.errors import PrepareError
from pipeline.prepare.decode import decode
from pipeline.prepare.encode import encode_jpeg
from pipeline.prepare.fit import fit, fit_from_header
from pipeline.prepare.fit_rules import FitRules, rules_from
from pipeline.prepare.header import read_header, target_size
from pipeline.records import Limits, Prepared
from tests.prepare.pictures import far_apart, noise, opened, scene, stored, with_orientation

RULES = FitRules(max_bytes=100_000, max_side_px=300)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_picture_inside_the_limits_passes_byte_identical(kind: str) -> None:
    """A picture that the service accepts is not changed, and its facts are right."""
    data = stored(scene(120, 80), kind)
    prepared = fit(data, RULES)
    assert prepared.data == data
    assert (prepared.action, prepared.width, prepared.height, prepared.encodes) == ("passed", 120, 80, 0)
    assert prepared.media_type == f"image/{kind.lower()}"
    assert prepared.source.sha256 == sha256(data).hexdigest()


@pytest.mark.parametrize("kind", ["TIFF", "AVIF"])
def test_format_the_service_does_not_take_is_encoded(kind: str) -> None:
    """A small TIFF or AVIF becomes a JPEG of the same size."""
    prepared = fit(stored(scene(120, 80), kind), RULES)
    assert (prepared.action, prepared.format, prepared.width, prepared.height) == ("encoded", "JPEG", 120, 80)
    assert far_apart(opened(prepared.data), scene(120, 80)) < 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("size", [(900, 600), (350, 700), (1001, 334), (4000, 40)])
def test_picture_too_large_is_scaled_to_the_longest_side(kind: str, size: tuple[int, int]) -> None:
    """The longer side becomes exactly the limit, and the picture keeps its aspect and its content."""
    prepared = fit(stored(scene(*size), kind), RULES)
    assert max(prepared.width, prepared.height) == 300
    assert prepared.scale == pytest.approx(300 / max(size))
    assert (prepared.source.width, prepared.source.height) == size
    shown = opened(prepared.data)
    assert shown.size == (prepared.width, prepared.height)
    assert far_apart(shown, scene(*size).resize(shown.size)) < 12


@pytest.mark.parametrize("size", [(800, 588), (588, 800), (600, 401), (1200, 802)])
def test_a_size_that_the_decoder_makes_by_itself_is_not_resized(size: tuple[int, int]) -> None:
    """Half a pixel is rounded up, as the decoder does, so its output is encoded without resizing."""
    data = stored(scene(*size), "JPEG")
    prepared = fit(data, RULES)
    decoded = decode(read_header(data, RULES), target_size(size, 300))
    assert decoded.size == (prepared.width, prepared.height)
    assert encode_jpeg(decoded, 95, 0) == prepared.data


def test_picture_over_the_bytes_loses_quality_before_it_loses_pixels() -> None:
    """Noise inside the side but over the bytes keeps its size, at the best quality that fits."""
    prepared = fit(stored(noise(300, 300), "PNG"), replace(RULES, max_bytes=50_000))
    assert (prepared.width, prepared.height) == (300, 300)
    assert prepared.quality is not None
    assert 50 <= prepared.quality < 95
    assert 0.9 * 50_000 < len(prepared.data) <= 50_000


def test_picture_shrinks_when_the_lowest_quality_is_not_enough() -> None:
    """If the lowest quality is too large, the picture is shrunk until it fits."""
    prepared = fit(stored(noise(300, 200), "PNG"), replace(RULES, max_bytes=5_000))
    assert len(prepared.data) <= 5_000
    assert prepared.width < 300
    assert prepared.width / prepared.height == pytest.approx(1.5, rel=0.05)
    assert prepared.quality is not None
    assert prepared.quality >= 50


def test_limit_no_picture_can_meet_is_a_failure() -> None:
    """A JPEG of one pixel has hundreds of bytes, so a limit of 50 fails the row by name."""
    with pytest.raises(PrepareError) as caught:
        fit(stored(scene(50, 50), "BMP"), replace(RULES, max_bytes=50))
    assert caught.value.code == "cannot-fit"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_encoded_picture_is_upright(kind: str, orientation: int) -> None:
    """A picture stored in any orientation comes out the same, without EXIF, and its sizes are the upright ones."""
    prepared = fit(with_orientation(scene(600, 400), orientation, kind), RULES)
    assert (prepared.width, prepared.height) == (300, 200)
    assert (prepared.source.width, prepared.source.height) == (600, 400)
    assert prepared.source.orientation == orientation
    shown = opened(prepared.data)
    assert far_apart(shown, scene(300, 200)) < 3
    assert not shown.getexif()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_passing_picture_is_turned_only_on_request(orientation: int) -> None:
    """A small rotated photo is not changed; with `upright` its pixels are turned."""
    data = with_orientation(scene(200, 100), orientation)
    assert fit(data, RULES).data == data
    prepared = fit(data, replace(RULES, upright=True))
    assert prepared.action == "encoded"
    assert far_apart(opened(prepared.data), scene(200, 100)) < 3


def test_orientation_of_a_passing_picture_swaps_the_source_but_not_what_is_sent() -> None:
    """The source's size is upright; the sent size is that of the bytes."""
    prepared = fit(with_orientation(scene(200, 100), 6), RULES)
    assert (prepared.source.width, prepared.source.height) == (200, 100)
    assert (prepared.width, prepared.height) == (100, 200)


def test_first_frame_of_an_animation_is_what_is_sent() -> None:
    """An animated GIF that is too large becomes a still picture of its first frame."""
    frames = [scene(400, 300), Image.new("RGB", (400, 300), "white")]
    data = stored(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert far_apart(opened(fit(data, RULES).data), scene(300, 225)) < 4


def test_line_art_stays_lossless_where_png_is_smaller() -> None:
    """A flat drawing is sent as PNG: smaller than its JPEG, and without its blur."""
    drawing = Image.new("L", (1200, 1200), 255)
    drawing.paste(0, (0, 400, 1200, 800))
    prepared = fit(stored(drawing, "PNG"), RULES)
    assert (prepared.format, prepared.quality, prepared.media_type) == ("PNG", None, "image/png")
    assert opened(prepared.data).size == (300, 300)


def test_photograph_in_a_lossless_file_becomes_jpeg() -> None:
    """Noise in a PNG has too many bytes a pixel to be line art."""
    assert fit(stored(noise(400, 400), "PNG"), RULES).format == "JPEG"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_passing_file_without_its_end_is_refused(kind: str) -> None:
    """A file within the limits that is cut off is not sent: its end marker is missing, and decoding it fails."""
    data = stored(noise(100, 100), kind)
    with pytest.raises(PrepareError) as caught:
        fit(data[: len(data) // 2], RULES)
    assert caught.value.code in {"truncated", "corrupt"}


def test_bytes_after_the_end_do_no_harm() -> None:
    """A JPEG with a trailer, as phones write it, passes after its pixels were decoded as a check."""
    data = stored(scene(100, 80), "JPEG") + b"trailer of a phone"
    assert fit(data, RULES).data == data


def test_verify_finds_damage_behind_a_good_end_marker() -> None:
    """A PNG with one flipped bit passes, but fails with `verify`, which decodes every pixel."""
    data = bytearray(stored(noise(100, 100), "PNG"))
    data[len(data) // 2] ^= 0xFF
    assert fit(bytes(data), RULES).action == "passed"
    with pytest.raises(PrepareError):
        fit(bytes(data), replace(RULES, verify=True))


def test_background_shows_through_transparent_pixels() -> None:
    """Transparent parts take the configured colour, opaque ones keep theirs, half-opaque ones mix."""
    logo = Image.new("RGBA", (600, 600), (0, 0, 0, 0))
    logo.paste((200, 0, 0, 255), (0, 0, 600, 200))
    logo.paste((200, 0, 0, 128), (0, 200, 600, 400))
    shown = opened(fit(stored(logo, "PNG"), replace(RULES, background="#0000c8")).data).convert("RGB")
    assert [shown.getpixel((150, y)) for y in (50, 250)] == [
        pytest.approx((200, 0, 0), abs=4),
        pytest.approx((0, 0, 200), abs=4),
    ]
    assert shown.getpixel((150, 150)) == pytest.approx((100, 0, 100), abs=4)


def test_colour_of_invisible_pixels_does_not_bleed() -> None:
    """The green of fully transparent pixels does not show at the edge of a shape."""
    logo = Image.new("RGBA", (901, 901), (0, 255, 0, 0))
    logo.paste((255, 255, 255, 255), (0, 0, 450, 901))
    shown = opened(fit(stored(logo, "PNG"), RULES).data).convert("RGB")
    assert np.asarray(shown).min() >= 250


def test_rules_take_the_smaller_limit_and_zero_means_the_providers_own() -> None:
    """A config can lower the provider's limits, but not raise them."""
    limits = Limits(max_bytes=1_000_000, max_side_px=1500, forms=frozenset({"bytes"}))
    own = rules_from(PrepareConfig(), limits)
    assert (own.max_bytes, own.max_side_px) == (1_000_000, 1500)
    tight = rules_from(PrepareConfig(max_bytes=5_000, max_side_px=9_000), limits)
    assert (tight.max_bytes, tight.max_side_px) == (5_000, 1500)


def test_what_is_usual_for_a_provider_is_overridden_up_to_its_limits() -> None:
    """Without [prepare] a picture becomes as large as is usual; with it, anything up to the limit."""
    limits = Limits(
        max_bytes=7_000_000,
        max_side_px=8_600,
        forms=frozenset({"bytes"}),
        usual_bytes=1_000_000,
        usual_side_px=1_024,
        is_upright=True,
    )
    usual = rules_from(PrepareConfig(), limits)
    assert (usual.max_bytes, usual.max_side_px, usual.upright) == (1_000_000, 1_024, True)
    large = rules_from(PrepareConfig(max_bytes=9_000_000, max_side_px=3_000), limits)
    assert (large.max_bytes, large.max_side_px) == (7_000_000, 3_000)


def test_header_is_enough_to_pass_a_picture_or_estimate_its_memory() -> None:
    """A picture within the limits is prepared; a larger one needs memory in proportion to its decoded pixels."""
    assert isinstance(fit_from_header(stored(scene(100, 100)), RULES), Prepared)
    small, large = (fit_from_header(stored(scene(side, side)), RULES) for side in (400, 800))
    assert isinstance(small, int)
    assert isinstance(large, int)
    assert 2 < large / small < 4


def test_scaled_decoding_costs_a_fraction_of_the_memory() -> None:
    """The same pixels need far less memory as JPEG, because only an eighth of each side is decoded."""
    jpeg, png = (fit_from_header(stored(scene(2400, 2400), kind), RULES) for kind in ("JPEG", "PNG"))
    assert isinstance(jpeg, int)
    assert isinstance(png, int)
    assert jpeg < png / 8
