"""Overlays of two pictures: copies, crops in both directions, pictures without details, and unrelated pictures."""

from __future__ import annotations

import pytest
from PIL import Image

from pipeline.service.engine.descriptors import describe
from pipeline.service.engine.overlay import EDGE, OverlayThumb, PictureOverlay, best_overlay, is_same
from tests.service.engine.drawing import draw

WHOLE = (0, 0, EDGE, EDGE)
SEEDS = range(20)


def thumb_of(picture: Image.Image) -> OverlayThumb:
    return OverlayThumb(describe(picture)[0].thumb)


def overlay(query: Image.Image, candidate: Image.Image) -> PictureOverlay:
    best = best_overlay(thumb_of(query), thumb_of(candidate))
    assert best is not None
    return best


@pytest.mark.parametrize("seed", SEEDS)
def test_a_picture_covers_itself_without_a_residual(seed: int) -> None:
    """The overlay covers the whole picture, without a residual, and always in the first of two equal directions."""
    best = overlay(draw(seed), draw(seed))
    assert [best.ncc, best.fine] == pytest.approx([1, 1])
    assert [best.residual, best.peak] == pytest.approx([0, 0], abs=1e-3)
    assert (best.window, best.within_query) == (WHOLE, False)
    assert is_same(best)


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_directions_give_the_same_choice_each_time(seed: int) -> None:
    """A darker copy correlates equally in both directions; rounding does not decide which one is measured."""
    darker = draw(seed).point(lambda value: value * 0.85)
    assert [overlay(*pair).within_query for pair in ((draw(seed), darker), (darker, draw(seed)))] == [False, False]


def test_a_part_is_found_where_it_was_cut_out() -> None:
    """In either direction, the place of a part is found to 1.5 pixels of a thumbnail in nine of ten cases."""
    wanted = tuple(round(edge * EDGE) for edge in (0.08, 0.02, 0.98, 0.92))
    right = 0
    for seed in SEEDS:
        picture = draw(seed, (400, 300))
        part, whole = thumb_of(picture.crop((32, 6, 392, 276))), thumb_of(picture)
        best, turned = best_overlay(part, whole), best_overlay(whole, part)
        if best is not None and turned is not None:
            assert (best.within_query, turned.within_query) == (False, True)
            assert best.window == turned.window
            right += best.window == pytest.approx(wanted, abs=3)
    assert right >= 18


def test_a_picture_without_details_has_no_overlay() -> None:
    """A plain area correlates with nothing, not even with itself."""
    plain = thumb_of(Image.new("RGB", (100, 100), (200, 30, 30)))
    assert best_overlay(plain, plain) is None
    assert best_overlay(plain, thumb_of(draw(1))) is None


def test_other_pictures_are_not_the_same() -> None:
    """No drawing is the same as another."""
    thumbs = [thumb_of(draw(seed)) for seed in SEEDS]
    pairs = [(a, b) for a in thumbs for b in thumbs if a is not b]
    assert not any(is_same(best) for a, b in pairs if (best := best_overlay(a, b)) is not None)
