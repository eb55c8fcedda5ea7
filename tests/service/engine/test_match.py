"""One picture is laid over another: copies, crops either way, pictures without details, and others."""

from __future__ import annotations

import pytest
from PIL import Image

from pipeline.service.engine.descriptors import describe
from pipeline.service.engine.match import EDGE, Overlay, Probe, compare, is_same
from tests.service.engine.drawing import draw

WHOLE = (0, 0, EDGE, EDGE)
SEEDS = range(20)


def probe(picture: Image.Image) -> Probe:
    return Probe(describe(picture)[0].thumb)


def overlay(query: Image.Image, candidate: Image.Image) -> Overlay:
    found = compare(probe(query), probe(candidate))
    assert found is not None
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_a_picture_lies_on_itself_without_a_rest(seed: int) -> None:
    """Nothing is left, over the whole, and of the two equal directions it is always the first."""
    found = overlay(draw(seed), draw(seed))
    assert [found.ncc, found.fine] == pytest.approx([1, 1])
    assert [found.residual, found.peak] == pytest.approx([0, 0], abs=1e-3)
    assert (found.window, found.within_query) == (WHOLE, False)
    assert is_same(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_directions_are_told_apart_the_same_way_each_time(seed: int) -> None:
    """A darker copy correlates alike either way; rounding does not decide which is measured."""
    darker = draw(seed).point(lambda value: value * 0.85)
    assert [overlay(*pair).within_query for pair in ((draw(seed), darker), (darker, draw(seed)))] == [False, False]


def test_a_part_is_found_where_it_was_cut_out() -> None:
    """Whichever of the two is the part, its place is known to 1.5 pixels of a thumbnail, in nine of ten."""
    wanted = tuple(round(edge * EDGE) for edge in (0.08, 0.02, 0.98, 0.92))
    right = 0
    for seed in SEEDS:
        picture = draw(seed, (400, 300))
        part, whole = probe(picture.crop((32, 6, 392, 276))), probe(picture)
        found, turned = compare(part, whole), compare(whole, part)
        if found is not None and turned is not None:
            assert (found.within_query, turned.within_query) == (False, True)
            assert found.window == turned.window
            right += found.window == pytest.approx(wanted, abs=3)
    assert right >= 18


def test_what_has_no_details_is_the_same_as_nothing() -> None:
    """A plain area correlates with none, itself included."""
    plain = probe(Image.new("RGB", (100, 100), (200, 30, 30)))
    assert compare(plain, plain) is None
    assert compare(plain, probe(draw(1))) is None


def test_other_pictures_are_not_the_same() -> None:
    """No drawing passes for another."""
    probes = [probe(draw(seed)) for seed in SEEDS]
    pairs = [(a, b) for a in probes for b in probes if a is not b]
    assert not any(is_same(found) for a, b in pairs if (found := compare(a, b)) is not None)
