"""Thumbnails: small, upright, made beside what is sent, and never a reason for a row to fail."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import pytest
from PIL import Image

from pipeline.prepare.budget import Budget
from pipeline.prepare.decoder_messages import Settings
from pipeline.prepare.decoder_pool import DecoderPool
from pipeline.prepare.fit import fit, fit_from_header
from pipeline.prepare.fit_rules import FitRules
from pipeline.records import Prepared
from tests.prepare.pictures import scene, stored, with_orientation

RULES = FitRules(max_bytes=1_000_000, max_side_px=1500, thumbnail_px=160)


def shown(prepared: Prepared) -> Image.Image:
    """Return the thumbnail decoded."""
    image = Image.open(BytesIO(prepared.thumbnail))
    assert image.format == "WEBP"
    return image


@pytest.mark.parametrize("verify", [False, True], ids=["as it is", "verified"])
@pytest.mark.parametrize(
    ("size", "kind", "expected"),
    [((480, 320), "JPEG", (160, 107)), ((480, 320), "PNG", (160, 107)), ((3000, 2000), "JPEG", (160, 107))],
    ids=["passed jpeg", "passed png", "encoded"],
)
def test_a_thumbnail_has_the_longest_side_it_may(
    size: tuple[int, int], kind: str, expected: tuple[int, int], verify: bool
) -> None:
    """It is made of a picture that passes and of one that is encoded; what is sent is the same as without it."""
    data = stored(scene(*size), kind)
    rules = replace(RULES, verify=verify)
    prepared = fit(data, rules)
    assert shown(prepared).size == expected
    assert prepared.data == fit(data, replace(rules, thumbnail_px=0)).data
    assert fit(data, replace(rules, thumbnail_px=0)).thumbnail == b""


def test_a_small_picture_is_not_enlarged() -> None:
    """A picture of 16 px has a thumbnail of 16 px."""
    assert shown(fit(stored(scene(16, 12)), RULES)).size == (16, 12)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_thumbnail_is_upright(orientation: int) -> None:
    """A picture that passes with its orientation has a thumbnail that is turned already."""
    prepared = fit(with_orientation(scene(300, 200), orientation), RULES)
    assert prepared.action == "passed"
    assert shown(prepared).size == (160, 107)


def test_a_picture_that_is_decoded_for_it_waits_for_its_memory() -> None:
    """The header says how much memory the thumbnail takes; where that is more than there may be, there is none."""
    data = stored(scene(480, 320), "PNG")
    assert isinstance(fit_from_header(data, RULES), int)
    scarce = replace(RULES, max_decode_bytes=1000)
    assert isinstance(fit_from_header(data, scarce), Prepared)
    assert fit(data, scarce).thumbnail == b""


def test_a_picture_that_can_not_be_decoded_passes_without_it() -> None:
    """Where the file looks whole and is sent as it is, a fault in its pixels costs the thumbnail only."""
    data = bytearray(stored(scene(480, 320), "PNG"))
    start = data.index(b"IDAT") + 4
    data[start : start + 40] = b"\xff" * 40
    prepared = fit(bytes(data), RULES)
    assert prepared.action == "passed"
    assert prepared.thumbnail == b""


async def test_a_decoder_process_hands_it_over() -> None:
    """The thumbnail comes through the pipe as it was made."""
    data = stored(scene(480, 320), "JPEG")
    async with DecoderPool(Settings(rules=RULES, timeout=60), 1, Budget(RULES.max_decode_bytes)) as pool:
        assert (await pool.fit(data)).thumbnail == fit(data, RULES).thumbnail != b""
