"""Pictures that must not be decoded, and files that are not pictures."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import pytest
from PIL import ImageFile

from pipeline.errors import PrepareError
from pipeline.prepare.fit import fit
from pipeline.prepare.fit_rules import FitRules
from tests.prepare.pictures import noise, scene, stored

RULES = FitRules(max_bytes=1_000_000, max_side_px=1500)


def code_of(data: bytes, rules: FitRules = RULES) -> str:
    with pytest.raises(PrepareError) as caught:
        fit(data, rules)
    return caught.value.code


def png_header(width: int, height: int, *, bits: int = 8, colour: int = 2) -> bytes:
    """Return the beginning of a PNG that claims a size, and a little data."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks)


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test as soon as a single pixel would be decoded."""

    def load(self: ImageFile.ImageFile) -> None:
        raise AssertionError("a pixel was decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"\xff", "not-a-picture", id="one byte"),
        pytest.param(b"<!DOCTYPE html><html><body>Not found</body></html>", "not-a-picture", id="web page"),
        pytest.param(b'\xef\xbb\xbf  {"error": 404}', "not-a-picture", id="JSON"),
        pytest.param(b'<?xml version="1.0"?><Error/>', "not-a-picture", id="XML"),
        pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg"/>', "unsupported-format", id="SVG"),
        pytest.param(b"%PDF-1.7\n", "unsupported-format", id="PDF"),
        pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0", "unsupported-format", id="HEIC"),
        pytest.param(b"\0\0\0\x18ftypmp42\0\0\0\0", "unsupported-format", id="video"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + b"\0" * 30, "corrupt", id="PNG without a header"),
        pytest.param(b"\xff\xd8\xff\xe0", "corrupt", id="JPEG of four bytes"),
    ],
)
@pytest.mark.usefixtures("no_decoding")
def test_other_files_have_their_codes(data: bytes, code: str) -> None:
    """Files that are not pictures, or of an unsupported format, fail with the code for that."""
    assert code_of(data) == code


@pytest.mark.parametrize(
    ("data", "rules", "code"),
    [
        pytest.param(png_header(50_000, 50_000, bits=1, colour=0), RULES, "too-many-pixels", id="2.5 gigapixel bomb"),
        pytest.param(png_header(16_500, 16_500), RULES, "too-many-pixels", id="just over the pixels"),
        pytest.param(png_header(12_000, 12_000), RULES, "too-much-memory", id="over the memory"),
        pytest.param(png_header(9_000, 9_000, colour=6), RULES, "too-much-memory", id="transparent, over the memory"),
        pytest.param(
            stored(scene(900, 900), "PNG"),
            replace(RULES, max_file_bytes=1_000),
            "too-large",
            id="over the file's bytes",
        ),
        pytest.param(
            stored(scene(2000, 2000), "JPEG", progressive=True),
            replace(RULES, max_decode_bytes=40_000_000),
            "too-much-memory",
            id="progressive JPEG holds all its coefficients",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.usefixtures("no_decoding")
def test_bomb_is_refused_by_its_header(data: bytes, rules: FitRules, code: str) -> None:
    """A picture that needs too much memory is refused before a single pixel is decoded."""
    assert code_of(data, rules) == code


@pytest.mark.usefixtures("no_decoding")
def test_jpeg_of_a_thousand_scans_is_refused() -> None:
    """A progressive JPEG that repeats its scans would take hours to decode; counting the scans takes no time."""
    data = stored(scene(1600, 1600), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    assert code_of(data[:-2] + scan * 300 + data[-2:]) == "too-many-scans"


def test_baseline_jpeg_of_the_same_size_stays_inside_the_memory() -> None:
    """A baseline JPEG needs less memory than a progressive one, since it is decoded line by line."""
    rules = replace(RULES, max_decode_bytes=40_000_000)
    assert fit(stored(scene(2000, 2000), "JPEG"), rules).width == 1500


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "AVIF", "BMP"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_truncated_file_never_becomes_a_picture(kind: str, share: float) -> None:
    """A truncated file fails with a code; it never becomes a picture that is half grey."""
    data = stored(noise(1600, 60), kind)
    assert code_of(data[: int(len(data) * share)]) in {"truncated", "corrupt"}


def test_wrong_png_checksum_is_a_failure() -> None:
    """A PNG whose data does not match its checksum is corrupt."""
    data = bytearray(stored(noise(1600, 400), "PNG"))
    data[-1000] ^= 0x55
    assert code_of(bytes(data)) == "corrupt"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_corrupt_exif_costs_no_picture() -> None:
    """Corrupt EXIF only means that there is no orientation."""
    exif = b"Exif\0\0II*\0" + b"\xff" * 40
    prepared = fit(stored(scene(1600, 800), "JPEG", exif=exif), RULES)
    assert (prepared.width, prepared.height, prepared.source.orientation) == (1500, 750, 1)


@pytest.mark.usefixtures("no_decoding")
def test_late_png_exif_does_not_decode_the_picture() -> None:
    """An eXIf chunk after the pixels is read without decoding them."""
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    data = png_header(100, 40)
    end = data[-12:]
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    assert fit(data[:-12] + chunk + end, RULES).source.orientation == 6


@pytest.mark.usefixtures("no_decoding")
def test_text_that_unpacks_to_gigabytes_is_refused() -> None:
    """A compressed PNG comment of 50 KB that unpacks to 50 MB fails the picture, not the worker."""
    body = b"Comment\0\0" + zlib.compress(b"\0" * 50_000_000)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    data = png_header(100, 100)
    assert code_of(data[:33] + chunk + data[33:]) == "corrupt"
