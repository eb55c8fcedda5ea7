"""Puts recognised lines in order: what counts as a line, words within it, rows, columns and regions, at any angle."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from pipeline.service.text.values import Line, Point, Quad, Region, Text, Word

# What is recognised with less is not there: textures give such lines.
LEAST_SCORE = 0.7
# Lines whose directions differ by less are parts of one text.
SAME_DIRECTION = math.radians(20)
# In line heights: what lies farther apart is no longer one region, and what lies side by side with less of a gap is no
# second column.
REGION_GAP, COLUMN_GAP = 1.0, 1.2
# A column of text has lines this much longer than high; a table's cells are shorter, and are read row by row.
COLUMN_WIDTH = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLine:
    """A line as it was recognised: `corners` in px, in the direction of the text; `score` 0..1."""

    text: str
    score: float
    corners: Quad


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The size in px of what was read."""

    width: int
    height: int

    def fractions(self, corners: Sequence[Point]) -> Quad:
        """Return corners in px as fractions of the page, none of them outside."""
        first, second, third, fourth = (
            (round(_clamp(x / self.width), 5), round(_clamp(y / self.height), 5)) for x, y in corners
        )
        return first, second, third, fourth


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A line, and its box in px on the page turned so that the text runs level."""

    line: RawLine
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
        """How far down the line stands."""
        return (self.top + self.bottom) / 2


def arrange(page: Page, found: Sequence[RawLine]) -> Text:
    """Put what was recognised into reading order, as regions of lines of words; noise is left out."""
    left, regions = [line for line in found if is_text(line)], []
    while left:
        angle = direction(left)
        level = [line for line in left if _turn(line_angle(line), angle) <= SAME_DIRECTION]
        left = [line for line in left if _turn(line_angle(line), angle) > SAME_DIRECTION]
        ordered = order([_place(line, angle) for line in level])
        regions += [_region(page, part, angle) for part in _parts(ordered)]
    return Text(regions=tuple(regions))


def is_text(line: RawLine) -> bool:
    """Tell text from noise: lines of one character, or of symbols alone, are mostly edges and rings."""
    letters = line.text.strip()
    return line.score >= LEAST_SCORE and len(letters) > 1 and any(map(str.isalnum, letters))


def line_angle(line: RawLine) -> float:
    """Return the direction of a line in radians: 0 runs level to the right, pi/2 down the page."""
    begin, end = _between(line.corners[0], line.corners[3], 0.5), _between(line.corners[1], line.corners[2], 0.5)
    return math.atan2(end[1] - begin[1], end[0] - begin[0])


def direction(lines: Sequence[RawLine]) -> float:
    """Return the direction that most of the text has: the mean of the largest group of like directions, by length."""
    measured = [(line_angle(line), _length(line)) for line in lines]
    groups = ([(a, w) for a, w in measured if _turn(a, angle) <= SAME_DIRECTION] for angle, _ in measured)
    largest = max(groups, key=lambda group: sum(weight for _, weight in group))
    return math.atan2(sum(w * math.sin(a) for a, w in largest), sum(w * math.cos(a) for a, w in largest))


def cut_words(text: str, corners: Quad) -> tuple[tuple[str, Quad], ...]:
    """Cut a line's box into words in proportion to their characters.

    Characters differ in width, so a word's edges are near the truth, not exact; recognised edges split words.
    """
    return tuple((word, cut(corners, start / len(text), end / len(text))) for word, start, end in _spans(text))


def cut(corners: Quad, start: float, end: float) -> Quad:
    """Return the part of a line's box between two fractions of its length."""
    first, second, third, fourth = corners
    upper = _between(first, second, start), _between(first, second, end)
    return *upper, _between(fourth, third, end), _between(fourth, third, start)


def order(lines: Sequence[Placed]) -> list[Placed]:
    """Order level lines as they are read: columns one after the other, else the upper part before the lower."""
    if len(lines) < 2:
        return list(lines)
    for halves in (_columns(lines), _halves(lines)):
        if halves is not None:
            first, second = halves
            return order(first) + order(second)
    return sorted(lines, key=lambda placed: placed.left)


def _spans(text: str) -> Iterator[tuple[str, int, int]]:
    end = 0
    for word in text.split():
        start = text.index(word, end)
        end = start + len(word)
        yield word, start, end


def _columns(lines: Sequence[Placed]) -> tuple[list[Placed], list[Placed]] | None:
    """Split at the widest gap that runs from top to bottom between two columns of text."""
    height = median(placed.height for placed in lines)
    gap, left, right = _widest_gap([(placed.left, placed.right, placed) for placed in lines])
    if gap < COLUMN_GAP * height or not (_is_column(left) and _is_column(right)):
        return None
    return left, right


def _is_column(lines: Sequence[Placed]) -> bool:
    wide = median((placed.right - placed.left) / placed.height for placed in lines)
    return len({round(placed.middle / placed.height) for placed in lines}) > 1 and wide >= COLUMN_WIDTH


def _halves(lines: Sequence[Placed]) -> tuple[list[Placed], list[Placed]] | None:
    """Split at the widest gap between rows; rows that lie closely overlap a little, so each counts by its core."""
    quarter = [(placed.top + placed.height / 4, placed.bottom - placed.height / 4, placed) for placed in lines]
    gap, upper, lower = _widest_gap(quarter)
    return (upper, lower) if gap > 0 else None


def _widest_gap(spans: Sequence[tuple[float, float, Placed]]) -> tuple[float, list[Placed], list[Placed]]:
    """Return the widest gap between spans (0: there is none), and what lies before and behind it."""
    ranked = sorted(spans, key=lambda span: span[0])
    best, at, reach = 0.0, 0, ranked[0][1]
    for index, (start, end, _) in enumerate(ranked):
        if start - reach > best:
            best, at = start - reach, index
        reach = max(reach, end)
    return best, [placed for *_, placed in ranked[:at]], [placed for *_, placed in ranked[at:]]


def _parts(ordered: Sequence[Placed]) -> Iterator[list[Placed]]:
    """Yield the lines that stand together."""
    part = list(ordered[:1])
    for before, after in pairwise(ordered):
        if not _go_together(before, after):
            yield part
            part = []
        part.append(after)
    yield part


def _go_together(before: Placed, after: Placed) -> bool:
    lower, higher = sorted((before.height, after.height))
    down = after.top - before.bottom
    aside = max(after.left - before.right, before.left - after.right)
    return higher <= 2 * lower and max(down, aside, before.top - after.bottom) <= REGION_GAP * higher


def _place(line: RawLine, angle: float) -> Placed:
    level = [_turned(corner, -angle) for corner in line.corners]
    xs, ys = [x for x, _ in level], [y for _, y in level]
    return Placed(line=line, left=min(xs), top=min(ys), right=max(xs), bottom=max(ys))


def _region(page: Page, part: Sequence[Placed], angle: float) -> Region:
    left, top = min(placed.left for placed in part), min(placed.top for placed in part)
    right, bottom = max(placed.right for placed in part), max(placed.bottom for placed in part)
    corners = [_turned(corner, angle) for corner in ((left, top), (right, top), (right, bottom), (left, bottom))]
    return Region(box=page.fractions(corners), lines=tuple(_line(page, placed.line) for placed in part))


def _line(page: Page, line: RawLine) -> Line:
    text = line.text.strip()
    words = (Word(text=word, box=page.fractions(corners)) for word, corners in cut_words(text, line.corners))
    return Line(text=text, box=page.fractions(line.corners), words=tuple(words))


def _turned(point: Point, angle: float) -> Point:
    x, y = point
    return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)


def _turn(first: float, second: float) -> float:
    """Return the smaller angle between two directions."""
    return abs(math.remainder(first - second, math.tau))


def _length(line: RawLine) -> float:
    return math.dist(line.corners[0], line.corners[1]) or 1.0


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _clamp(value: float) -> float:
    return min(max(value, 0.0), 1.0)
