"""Recognised lines are put into reading order: noise, directions, columns, rows, regions, words."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.service.text.reading_order import DetectedLine, PageSize, arrange_lines, is_text, line_angle, split_words
from pipeline.service.text.recognised_text import Point, Quad, RecognisedText

PAGE = PageSize(width=1000, height=800)


def box(left: float, top: float, width: float, height: float) -> Quad:
    return (left, top), (left + width, top), (left + width, top + height), (left, top + height)


def line(text: str, left: float, top: float, *, height: float = 20, score: float = 0.99) -> DetectedLine:
    return DetectedLine(text=text, score=score, corners=box(left, top, len(text) * height / 2, height))


def turn(raw: DetectedLine, degrees: float) -> DetectedLine:
    """Turn a line about the middle of the page."""
    angle = math.radians(degrees)

    def move(point: Point) -> Point:
        x, y = point[0] - 500, point[1] - 400
        return 500 + x * math.cos(angle) - y * math.sin(angle), 400 + x * math.sin(angle) + y * math.cos(angle)

    first, second, third, fourth = map(move, raw.corners)
    return DetectedLine(text=raw.text, score=raw.score, corners=(first, second, third, fourth))


COLUMNS = (
    line("A heading that runs over both of the columns here", 100, 100),
    line("left one begins", 100, 180),
    line("and left two ends", 100, 210),
    line("right one begins", 500, 180),
    line("and right two ends", 500, 210),
)


def lines_of(text: RecognisedText) -> list[str]:
    return [each.text for each in text.lines]


@pytest.mark.parametrize("degrees", [0, -8, 8, 90, 180, 270], ids=str)
def test_columns_are_read_one_after_the_other_at_any_angle(degrees: float) -> None:
    """The order of the lines is right for any order of detection and any angle of the page."""
    shuffled = [turn(COLUMNS[index], degrees) for index in (3, 0, 4, 2, 1)]
    assert lines_of(arrange_lines(PAGE, shuffled)) == [each.text for each in COLUMNS]


def test_the_cells_of_a_table_are_read_row_by_row() -> None:
    """Short cells next to each other are no columns of text."""
    cells = [line("Protein", 100, 100), line("12 g", 400, 100), line("Sugar", 100, 130), line("3 g", 400, 131)]
    assert lines_of(arrange_lines(PAGE, cells)) == ["Protein", "12 g", "Sugar", "3 g"]


def test_a_wide_gap_separates_regions() -> None:
    """The box of each region is around its lines."""
    text = arrange_lines(
        PAGE, [line("Graphic Designer", 100, 100), line("Portland", 100, 125), line("far below", 100, 400)]
    )
    assert [[each.text for each in region.lines] for region in text.regions] == [
        ["Graphic Designer", "Portland"],
        ["far below"],
    ]
    assert text.regions[0].box == ((0.1, 0.125), (0.26, 0.125), (0.26, 0.18125), (0.1, 0.18125))
    assert text.full == "Graphic Designer\nPortland\nfar below"


def test_text_of_another_direction_is_a_region_of_its_own() -> None:
    """The main direction of the text comes first."""
    text = arrange_lines(PAGE, [turn(line("on the spine", 480, 380), 90), *COLUMNS[:3]])
    assert [region.lines[-1].text for region in text.regions][-1] == "on the spine"
    assert text.regions[-1].lines[0].box[0][1] < text.regions[-1].lines[0].box[1][1]


@pytest.mark.parametrize(
    ("text", "score", "kept"),
    [("Bridge", 0.7, True), ("Bridge", 0.69, False), ("O", 0.99, False), ("—»", 0.99, False), ("€5", 0.9, True)],
)
def test_noise_is_dropped(text: str, score: float, *, kept: bool) -> None:
    """Lines with a low score, single characters and symbols are no text."""
    assert is_text(DetectedLine(text=text, score=score, corners=box(0, 0, 10, 10))) is kept


@pytest.mark.parametrize("degrees", [-90, -8, 0, 45, 90, 135])
def test_the_angle_of_a_line_is_that_of_its_text(degrees: float) -> None:
    """A line down the page has an angle of 90 degrees."""
    assert math.degrees(line_angle(turn(line("some words", 300, 300), degrees))) == pytest.approx(degrees, abs=1e-6)


WORDS = st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1), min_size=1)


@given(words=WORDS, left=st.floats(0, 500), width=st.floats(1, 500), degrees=st.floats(-180, 180))
def test_words_are_in_their_line_one_after_the_other(
    words: list[str], left: float, width: float, degrees: float
) -> None:
    """Every word has its part of the line's box, in order and without overlap; together they make the line."""
    text = " ".join(words)
    raw = turn(DetectedLine(text=text, score=1.0, corners=box(left, 300, width, 30)), degrees)
    cut = split_words(text, raw.corners)
    assert " ".join(word for word, _ in cut).split() == text.split()
    back = [turn(DetectedLine(text=word, score=1.0, corners=corners), -degrees).corners for word, corners in cut]
    ends = [edge for corners in back for edge in (corners[0][0], corners[1][0])]
    assert all(before <= after + 1e-6 for before, after in pairwise(ends))
    assert ends[0] >= left - 1e-6
    assert ends[-1] <= left + width + 1e-6


@given(st.lists(st.builds(line, st.text(max_size=30), st.floats(-50, 1100), st.floats(-50, 900)), max_size=12))
def test_every_line_of_text_is_kept_once_and_within_the_page(raw: list[DetectedLine]) -> None:
    """No line is lost or doubled, and no box leaves the picture."""
    text = arrange_lines(PAGE, raw)
    assert sorted(lines_of(text)) == sorted(each.text.strip() for each in raw if is_text(each))
    corners = [corner for region in text.regions for each in region.lines for corner in (*region.box, *each.box)]
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in corners)
