"""The search for the best quality, on models of encoders and on a real one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.prepare.encode import encode_jpeg
from pipeline.prepare.quality import FULL_COLOUR, HALF_COLOUR, BestJpeg, best_quality
from tests.prepare.pictures import noise, scene


class Encoder:
    """An encoder whose files grow with the quality: a power of libjpeg's table scale, times `size`."""

    def __init__(self, size: float, slope: float) -> None:
        self.size, self.slope = size, slope
        self.calls: list[tuple[int, int]] = []

    def __call__(self, quality: int, subsampling: int) -> bytes:
        self.calls.append((quality, subsampling))
        scale = max(1.0, 200 - 2 * quality) if quality >= 50 else 5000 / quality
        share = 0.7 if subsampling == HALF_COLOUR else 1
        return bytes(int(self.size * share * (scale / 10) ** -self.slope))


models = st.builds(Encoder, st.floats(1_000, 400_000), st.floats(0.3, 1.2))


@given(encode=models, limit=st.integers(2_000, 100_000))
def test_best_file_fits_and_no_much_better_one_does(encode: Encoder, limit: int) -> None:
    """The result is within the limit, and it has the highest quality or 96 % of the bytes, or no quality fits."""
    best = best_quality(encode, limit, 50, 95)
    assert best.encodes == len(encode.calls)
    _, subsampling = encode.calls[-1]
    if best.data is None:
        assert len(encode(50, subsampling)) > limit
        return
    assert len(best.data) <= limit
    better = [q for q in range(best.quality + 1, 96) if len(encode(q, subsampling)) <= limit]
    assert not better or len(best.data) >= 0.96 * limit


@given(encode=models, limit=st.integers(2_000, 100_000))
def test_search_takes_few_encodes(encode: Encoder, limit: int) -> None:
    """With a smooth encoder, the search takes seven encodes at most, and no quality twice."""
    best = best_quality(encode, limit, 50, 95)
    assert best.encodes <= 7
    assert len(set(encode.calls)) == len(encode.calls)


def test_picture_that_fits_takes_one_encode_in_full_colour() -> None:
    """Nearly every photo fits at the highest quality with the first encode."""
    encode = Encoder(10_000, 0.6)
    assert best_quality(encode, 20_000, 50, 95).encodes == 1
    assert encode.calls == [(95, FULL_COLOUR)]


@pytest.mark.parametrize(("times", "subsampling"), [(1.1, FULL_COLOUR), (1.5, HALF_COLOUR)])
def test_colour_is_halved_only_when_far_over_the_limit(times: float, subsampling: int) -> None:
    """A little over the limit, full colour stays; far over it, halving the colour costs least."""
    encode = Encoder(10_000 * times, 0.6)
    best_quality(encode, 10_000, 50, 95)
    assert encode.calls[-1][1] == subsampling


@pytest.mark.parametrize("share", [0.9, 0.6, 0.4])
def test_real_encoder_comes_close_to_the_limit(share: float) -> None:
    """On real pictures about three encodes come within a few percent of the limit."""
    image = noise(400, 300).resize((800, 600))
    limit = int(len(encode_jpeg(image, 95, FULL_COLOUR)) * share)
    best = best_quality(lambda quality, subsampling: encode_jpeg(image, quality, subsampling), limit, 10, 95)
    assert best.data is not None
    assert 0.9 * limit < len(best.data) <= limit
    assert best.encodes <= 5


def test_expected_size_skips_the_first_encode() -> None:
    """After shrinking, the search starts from an estimate and not from the highest quality."""
    encode = Encoder(50_000, 0.6)
    best = best_quality(encode, 20_000, 50, 95, expected=len(encode(50, HALF_COLOUR)))
    assert isinstance(best, BestJpeg)
    assert best.data is not None
    assert (95, FULL_COLOUR) not in encode.calls


def test_grey_pictures_are_encoded_in_grey() -> None:
    """A grey picture stays one band: a third of the work and fewer bytes."""
    assert len(encode_jpeg(scene(300, 300, "L"), 95, 0)) < len(encode_jpeg(scene(300, 300), 95, 0))
