"""Untrusted pictures are opened safely; their colours, features and overlays."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter, ImageOps

from pipeline.service.engine.color import extract_palette, to_lab
from pipeline.service.engine.descriptors import DIMENSIONS, describe, mirror, pack_lab, unpack_lab
from pipeline.service.engine.overlay import OverlayThumb, best_overlay, is_same, is_similar
from pipeline.service.engine.pictures import MAX_FILE_BYTES, WORK_SIDE_PX, decode, read_header
from pipeline.service.engine.views import find_frame
from pipeline.service.findings import BadPicture
from tests.service.engine.drawing import draw, encode

JPEG = encode(draw(8, (300, 200)))


def png_claiming(width: int, height: int) -> bytes:
    """Return a PNG whose header claims a size that its few bytes can't fill."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"])
def test_damage_anywhere_is_a_bad_picture(kind: str) -> None:
    """Whatever the decoder raises for it: that of AVIF has an error of its own."""
    data = encode(draw(2, (60, 40)), kind)
    for place in range(0, len(data), max(1, len(data) // 60)):
        for damaged in (data[:place], data[:place] + data[place + 1 :], data[:place] + b"\xff" + data[place + 1 :]):
            with suppress(BadPicture):
                decode(read_header(damaged))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"])
def test_every_format_opens(kind: str) -> None:
    """Each format is recognised by its content and gives RGB pixels."""
    opened = decode(read_header(encode(draw(2, (300, 200)), kind)))
    assert (opened.width, opened.height, opened.format, opened.pixels.mode) == (300, 200, kind.lower(), "RGB")


def test_a_large_jpeg_is_decoded_small() -> None:
    """Only as many pixels are decoded as needed; the facts are those of the whole."""
    opened = decode(read_header(encode(draw(2, (3000, 2000)))))
    assert (opened.width, opened.height) == (3000, 2000)
    assert WORK_SIDE_PX <= min(opened.pixels.size) <= 2 * WORK_SIDE_PX


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_made_upright(orientation: int) -> None:
    """The EXIF orientation is applied: width and height are swapped, and the pixels are turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    scene = draw(4, (300, 200))
    opened = decode(read_header(encode(scene, "PNG", exif=exif)))
    stored = Image.new("RGB", scene.size)
    stored.paste(scene)
    stored.getexif()[0x0112] = orientation
    assert (opened.width, opened.height) == ((200, 300) if orientation > 4 else (300, 200))
    assert opened.pixels.tobytes() == ImageOps.exif_transpose(stored).tobytes()


def test_transparency_becomes_white() -> None:
    """Transparent pixels become white, as on a page."""
    assert decode(read_header(encode(Image.new("RGBA", (40, 40)), "PNG"))).pixels.getpixel((20, 20)) == (255, 255, 255)


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    """A 16-bit value of one half is a middle grey."""
    grey = Image.fromarray(np.full((40, 40), 32768, dtype=np.uint16))
    assert decode(read_header(encode(grey, "PNG"))).pixels.getpixel((20, 20)) == (128, 128, 128)


def test_a_crop_is_cut_from_the_upright_picture() -> None:
    """The fractions of the crop refer to the upright picture."""
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = Image.new("RGB", (100, 200), "red")
    upright.paste("blue", (0, 100, 100, 200))
    data = encode(upright.rotate(90, expand=True), "PNG", exif=exif)
    assert decode(read_header(data), crop=(0, 0.6, 1, 0.9)).pixels.getcolors() == [(100 * 60, (0, 0, 255))]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png_claiming(30000, 30000), id="bomb"),
        pytest.param(png_claiming(16000, 16000), id="too large to decode"),
        pytest.param(b"\xff\xd8\xff" + bytes(MAX_FILE_BYTES), id="huge file"),
    ],
)
def test_bombs_are_refused_before_they_are_decoded(data: bytes) -> None:
    """A picture that would need too much memory is refused by its header or size."""
    with pytest.raises(BadPicture) as refused:
        decode(read_header(data))
    assert refused.value.code == "too-many-pixels"


@settings(max_examples=150)
@given(cut=st.integers(1, len(JPEG)), place=st.integers(0, len(JPEG) - 1), value=st.integers(0, 255))
def test_damaged_bytes_raise_no_other_error(cut: int, place: int, value: int) -> None:
    """Whatever is wrong with the bytes, the result is a picture or BadPicture."""
    data = bytearray(JPEG)
    data[place] = value
    try:
        opened = decode(read_header(bytes(data[:cut])))
    except BadPicture:
        return
    assert opened.pixels.mode == "RGB"


def test_lab_of_known_colors() -> None:
    """White, black and red have their published Lab values (CIE 15, D65)."""
    lab = to_lab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]], dtype=np.uint8))
    published = np.array([[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.2]])
    assert np.allclose(lab, published, atol=0.15)
    assert np.abs(unpack_lab(pack_lab(lab)) - lab).max() <= 0.51


def test_the_accent_is_the_strongest_colour() -> None:
    """A patch of strong colour on grey is the accent; the grey is the dominant colour."""
    picture = Image.new("RGB", (96, 96), "#d0d0d0")
    picture.paste("#d02020", (24, 24, 75, 75))
    colors = extract_palette(picture)
    assert colors.accent == "D02020"
    assert [name for name, _ in colors.dominant] == ["D0D0D0", "D02020"]
    assert sum(share for _, share in colors.dominant) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(
    ("backdrop", "thing"), [("#f2f0ee", "#d8c49a"), ("#cfe3d4", "#8a5a3c"), ("#ffffff", "#22252b")]
)
def test_a_backdrop_is_no_accent(backdrop: str, thing: str) -> None:
    """A small object of a muted colour is the accent, and its backdrop is the dominant colour."""
    picture = Image.new("RGB", (96, 96), backdrop)
    picture.paste(thing, (36, 36, 60, 60))
    colors = extract_palette(picture)
    assert colors.accent == thing[1:].upper()
    assert colors.dominant[0][0] == backdrop[1:].upper()


def test_an_edge_of_many_colours_is_no_backdrop() -> None:
    """Sky over land is no backdrop: the larger strong colour is the accent."""
    picture = Image.new("RGB", (96, 96), "#3070d0")
    picture.paste("#806040", (0, 56, 96, 96))
    picture.paste("#f0f0f0", (40, 20, 50, 30))
    assert extract_palette(picture).accent == "3070D0"


def test_one_colour_has_one_colour() -> None:
    """A plain picture has its colour as accent and as the only dominant one."""
    assert extract_palette(Image.new("RGB", (10, 10), "#336699")) == ("336699", (("336699", 1.0),))


def test_descriptors_have_length_one_and_mirror() -> None:
    """The features of the mirror image are those of the mirrored picture."""
    picture = draw(9, (384, 384))
    upright, mirrored = describe(picture)
    turned, _ = describe(ImageOps.mirror(picture))
    assert upright.descriptor.shape == (DIMENSIONS,)
    assert np.linalg.norm(upright.descriptor) == pytest.approx(1, abs=1e-5)
    assert np.allclose(mirrored.descriptor, turned.descriptor, atol=1e-4)
    assert np.array_equal(mirrored.thumb, turned.thumb)


@pytest.mark.parametrize("seed", range(6))
def test_stored_features_can_be_mirrored(seed: int) -> None:
    """Without the picture; a few bits of the hash differ, of which unrelated pictures differ in 128."""
    upright, mirrored = describe(draw(seed, (384, 384)))
    turned = mirror(upright)
    assert np.array_equal(turned.descriptor, mirrored.descriptor)
    assert np.array_equal(turned.thumb, mirrored.thumb)
    assert np.unpackbits((turned.phash ^ mirrored.phash).view(np.uint8)).sum() <= 16


@pytest.mark.parametrize("seed", range(6))
def test_overlays_tell_copies_from_others(seed: int) -> None:
    """A cropped and blurred copy is the same picture in both directions; another picture is not even similar."""
    picture = draw(seed, (480, 360))
    copy = picture.crop((30, 20, 470, 350)).filter(ImageFilter.GaussianBlur(1))
    one, two, other = (OverlayThumb(describe(each)[0].thumb) for each in (picture, copy, draw(seed + 100, (480, 360))))
    for overlay in (best_overlay(one, two), best_overlay(two, one)):
        assert overlay is not None
        assert is_same(overlay)
        assert is_similar(overlay)
    different = best_overlay(one, other)
    assert different is None or not is_similar(different)


def test_a_recoloured_part_is_not_the_same() -> None:
    """A picture with one shape in another colour is a near-twin, not a copy."""
    picture = draw(3, (480, 360))
    twin = picture.copy()
    twin.paste("#c03030", (100, 100, 220, 240))
    overlay = best_overlay(*(OverlayThumb(describe(each)[0].thumb) for each in (picture, twin)))
    assert overlay is None or not is_same(overlay)


def test_frames_are_found() -> None:
    """An even border on all four sides is a frame; a picture without one has none."""
    box = find_frame(ImageOps.expand(draw(5, (400, 400)), 40, "white"))
    assert box == pytest.approx((1 / 12, 1 / 12, 11 / 12, 11 / 12), abs=0.02)
    assert find_frame(draw(5, (400, 400))) is None
    assert find_frame(Image.new("RGB", (50, 50))) is None


def test_the_file_says_what_is_animated_and_the_edge_what_is_transparent() -> None:
    """A GIF of one picture is not animated, and a picture with a hole in it has no transparent background."""
    frames = [Image.new("RGB", (40, 40), color) for color in ("red", "blue")]
    hole, cut_out = (Image.new("RGBA", (40, 40), color) for color in ((9, 9, 9, 255), (9, 9, 9, 0)))
    hole.paste((0, 0, 0, 0), (10, 10, 30, 30))
    cut_out.paste((9, 9, 9, 255), (10, 10, 30, 30))
    pictures: list[tuple[Image.Image, str, dict[str, object], tuple[bool, bool]]] = [
        (frames[0], "GIF", {"save_all": True, "append_images": frames[1:]}, (True, False)),
        (frames[0], "GIF", {}, (False, False)),
        (hole, "PNG", {}, (False, False)),
        (cut_out, "PNG", {}, (False, True)),
        (cut_out, "WEBP", {"lossless": True}, (False, True)),
    ]
    for image, name, options, expected in pictures:
        file = io.BytesIO()
        image.save(file, name, **options)
        opened = decode(read_header(file.getvalue()))
        assert (opened.animated, opened.transparent) == expected, name
