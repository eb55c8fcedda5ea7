"""Puts recognised lines into reading order: drops noise, splits words, finds rows, columns and regions at any angle."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from pipeline.service.text.recognised_text import Point, Quad, RecognisedText, TextLine, TextRegion, TextWord

# Textures give lines with lower scores than this; they are noise.
MIN_SCORE = 0.7
# Lines whose directions differ by less belong to the same text.
MAX_ANGLE_DIFFERENCE = math.radians(20)
# In line heights: a wider gap separates regions, and a gap of at least this width separates two columns.
REGION_GAP, COLUMN_GAP = 1.0, 1.2
# The lines of a text column are at least this much longer than high; the cells of a table are shorter, and are read row
# by row.
MIN_COLUMN_WIDTH = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedLine:
    """A line as the models return it: `corners` in px, in the direction of the text; `score` 0..1."""

    text: str
    score: float
    corners: Quad


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSize:
    """The size in px of the picture that was read."""

    width: int
    height: int

    def fractions(self, corners: Sequence[Point]) -> Quad:
        """Return corners in px as fractions of the page, clamped to it."""
        first, second, third, fourth = (
            (round(_clamp(x / self.width), 5), round(_clamp(y / self.height), 5)) for x, y in corners
        )
        return first, second, third, fourth


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelLine:
    """A line, and its box in px on a page that is rotated so that the text is level."""

    line: DetectedLine
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        """The height of the line."""
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        """The vertical middle of the line."""
        return (self.top + self.bottom) / 2


def arrange_lines(page: PageSize, detected: Sequence[DetectedLine]) -> RecognisedText:
    """Put the lines of a page into reading order, as regions of lines of words, without noise."""
    remaining, regions = [line for line in detected if is_text(line)], []
    while remaining:
        angle = main_direction(remaining)
        level = [line for line in remaining if _angle_between(line_angle(line), angle) <= MAX_ANGLE_DIFFERENCE]
        remaining = [line for line in remaining if _angle_between(line_angle(line), angle) > MAX_ANGLE_DIFFERENCE]
        ordered = reading_order([_make_level(line, angle) for line in level])
        regions += [_make_region(page, group, angle) for group in _group_lines(ordered)]
    return RecognisedText(regions=tuple(regions))


def is_text(line: DetectedLine) -> bool:
    """Return True if a line is text; lines of one character, or of symbols alone, are mostly edges and rings."""
    letters = line.text.strip()
    return line.score >= MIN_SCORE and len(letters) > 1 and any(map(str.isalnum, letters))


def line_angle(line: DetectedLine) -> float:
    """Return the direction of a line in radians: 0 is level to the right, pi/2 is down the page."""
    begin, end = _between(line.corners[0], line.corners[3], 0.5), _between(line.corners[1], line.corners[2], 0.5)
    return math.atan2(end[1] - begin[1], end[0] - begin[0])


def main_direction(lines: Sequence[DetectedLine]) -> float:
    """Return the direction of most of the text: the mean of the largest group of similar directions, by length."""
    measured = [(line_angle(line), _length(line)) for line in lines]
    groups = (
        [(a, w) for a, w in measured if _angle_between(a, angle) <= MAX_ANGLE_DIFFERENCE] for angle, _ in measured
    )
    largest = max(groups, key=lambda group: sum(weight for _, weight in group))
    return math.atan2(sum(w * math.sin(a) for a, w in largest), sum(w * math.cos(a) for a, w in largest))


def split_words(text: str, corners: Quad) -> tuple[tuple[str, Quad], ...]:
    """Split a line's box into words in proportion to their number of characters.

    Characters differ in width, so the edges of a word are approximate; the edges that the models return split words.
    """
    return tuple(
        (word, slice_quad(corners, start / len(text), end / len(text))) for word, start, end in _word_spans(text)
    )


def slice_quad(corners: Quad, start: float, end: float) -> Quad:
    """Return the part of a line's box between two fractions of its length."""
    first, second, third, fourth = corners
    upper = _between(first, second, start), _between(first, second, end)
    return *upper, _between(fourth, third, end), _between(fourth, third, start)


def reading_order(lines: Sequence[LevelLine]) -> list[LevelLine]:
    """Sort level lines into reading order: column by column, or else the upper part before the lower."""
    if len(lines) < 2:
        return list(lines)
    for halves in (_split_columns(lines), _split_rows(lines)):
        if halves is not None:
            first, second = halves
            return reading_order(first) + reading_order(second)
    return sorted(lines, key=lambda level: level.left)


def _word_spans(text: str) -> Iterator[tuple[str, int, int]]:
    end = 0
    for word in text.split():
        start = text.index(word, end)
        end = start + len(word)
        yield word, start, end


def _split_columns(lines: Sequence[LevelLine]) -> tuple[list[LevelLine], list[LevelLine]] | None:
    """Split at the widest gap that runs from top to bottom between two columns of text."""
    height = median(level.height for level in lines)
    gap, left, right = _widest_gap([(level.left, level.right, level) for level in lines])
    if gap < COLUMN_GAP * height or not (_is_column(left) and _is_column(right)):
        return None
    return left, right


def _is_column(lines: Sequence[LevelLine]) -> bool:
    width = median((level.right - level.left) / level.height for level in lines)
    return len({round(level.middle / level.height) for level in lines}) > 1 and width >= MIN_COLUMN_WIDTH


def _split_rows(lines: Sequence[LevelLine]) -> tuple[list[LevelLine], list[LevelLine]] | None:
    """Split at the widest gap between rows; close rows overlap a little, so only the middle half of each counts."""
    cores = [(level.top + level.height / 4, level.bottom - level.height / 4, level) for level in lines]
    gap, upper, lower = _widest_gap(cores)
    return (upper, lower) if gap > 0 else None


def _widest_gap(spans: Sequence[tuple[float, float, LevelLine]]) -> tuple[float, list[LevelLine], list[LevelLine]]:
    """Return the width of the widest gap between spans (0 if there is none), and the lines before and after it."""
    ranked = sorted(spans, key=lambda span: span[0])
    widest, split, reach = 0.0, 0, ranked[0][1]
    for index, (start, end, _) in enumerate(ranked):
        if start - reach > widest:
            widest, split = start - reach, index
        reach = max(reach, end)
    return widest, [level for *_, level in ranked[:split]], [level for *_, level in ranked[split:]]


def _group_lines(ordered: Sequence[LevelLine]) -> Iterator[list[LevelLine]]:
    """Yield the groups of lines that belong to one region."""
    group = list(ordered[:1])
    for before, after in pairwise(ordered):
        if not _belong_together(before, after):
            yield group
            group = []
        group.append(after)
    yield group


def _belong_together(before: LevelLine, after: LevelLine) -> bool:
    lower, higher = sorted((before.height, after.height))
    down = after.top - before.bottom
    aside = max(after.left - before.right, before.left - after.right)
    return higher <= 2 * lower and max(down, aside, before.top - after.bottom) <= REGION_GAP * higher


def _make_level(line: DetectedLine, angle: float) -> LevelLine:
    corners = [_rotate(corner, -angle) for corner in line.corners]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return LevelLine(line=line, left=min(xs), top=min(ys), right=max(xs), bottom=max(ys))


def _make_region(page: PageSize, group: Sequence[LevelLine], angle: float) -> TextRegion:
    left, top = min(level.left for level in group), min(level.top for level in group)
    right, bottom = max(level.right for level in group), max(level.bottom for level in group)
    corners = [_rotate(corner, angle) for corner in ((left, top), (right, top), (right, bottom), (left, bottom))]
    return TextRegion(box=page.fractions(corners), lines=tuple(_make_line(page, level.line) for level in group))


def _make_line(page: PageSize, line: DetectedLine) -> TextLine:
    text = line.text.strip()
    words = (TextWord(text=word, box=page.fractions(corners)) for word, corners in split_words(text, line.corners))
    return TextLine(text=text, box=page.fractions(line.corners), words=tuple(words))


def _rotate(point: Point, angle: float) -> Point:
    x, y = point
    return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)


def _angle_between(first: float, second: float) -> float:
    """Return the smaller angle between two directions."""
    return abs(math.remainder(first - second, math.tau))


def _length(line: DetectedLine) -> float:
    return math.dist(line.corners[0], line.corners[1]) or 1.0


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _clamp(value: float) -> float:
    return min(max(value, 0.0), 1.0)
