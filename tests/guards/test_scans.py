"""Scans are counted as a decoder would meet them, and whatever looks odd counts as too many."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from pipeline.errors import PrepareError
from pipeline.guards.memory import decoding_bytes
from pipeline.guards.picture_guard import open_image
from pipeline.guards.scans import MAX_SCANS

SCAN = b"\xff\xda"


def jpeg(**options: object) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (64, 64), (90, 140, 60)).save(target, "JPEG", **options)
    return target.getvalue()


PROGRESSIVE, BASELINE = jpeg(progressive=True), jpeg()


def repeated(data: bytes, times: int) -> bytes:
    """Return a JPEG with its last scan so many times more."""
    return data[:-2] + data[data.rindex(SCAN) : -2] * times + data[-2:]


def sequential(times: int) -> bytes:
    """Return a JPEG that is not progressive and has a scan for each colour, the last of them so many times more."""
    at = BASELINE.index(SCAN)
    one = b"".join(SCAN + bytes([0, 8, 1, number, 0, 0, 63, 0]) + b"\x00" * 4 for number in (1, 2, 3))
    return repeated(BASELINE[:at] + one + b"\xff\xd9", times)


def code_of(data: bytes) -> str:
    try:
        open_image(data)
    except PrepareError as exc:
        return exc.code
    return ""


@pytest.mark.parametrize("data", [PROGRESSIVE, sequential(0)], ids=["progressive", "sequential"])
def test_repeated_scans_are_refused(data: bytes) -> None:
    """Both kinds of JPEG with several scans can repeat them; the limit is exact."""
    usual = data.count(SCAN)
    assert code_of(repeated(data, MAX_SCANS - usual)) == ""
    assert code_of(repeated(data, MAX_SCANS - usual + 1)) == "too-many-scans"


@pytest.mark.parametrize(
    "odd",
    [b"\xff\xd0", b"\xff\x01", b"garbage", b"\xff\xff\xff", b"\xff\x00", b"\xff\xfe\x00\x04\xff\xd9"],
    ids=["restart", "temporary", "garbage", "fill", "stuffed", "end in a comment"],
)
def test_scans_can_not_be_hidden(odd: bytes) -> None:
    """Bytes between segments, on which decoders differ, hide no scans behind them."""
    at = PROGRESSIVE.index(SCAN)
    hidden = repeated(PROGRESSIVE[:at] + odd + PROGRESSIVE[at:], MAX_SCANS)
    assert code_of(hidden) in {"too-many-scans", "corrupt"}


def test_what_follows_the_picture_is_not_counted() -> None:
    """A phone's photograph may be followed by a video, which holds any bytes."""
    assert code_of(BASELINE + SCAN * 10 * MAX_SCANS) == ""


def test_several_scans_take_more_memory() -> None:
    """A decoder holds all coefficients of a JPEG with several scans, progressive or not."""
    size = (64, 64)
    one, several, hidden = (
        decoding_bytes(open_image(data), size, size) for data in (BASELINE, PROGRESSIVE, sequential(0))
    )
    assert several == hidden == one + 2 * 3 * 64 * 64
