"""What is written in a picture: regions, lines, words, and the addresses among them.

Boxes are four corners (x, y) in fractions of the upright query, in the direction of the text: the first corner is where
the first letter begins, the second where the line ends, whichever way the text is turned (reference 003, TextLine).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
Quad = tuple[Point, Point, Point, Point]


def around(boxes: Sequence[Quad]) -> Quad:
    """Return the upright box around boxes."""
    xs, ys = [x for box in boxes for x, _ in box], [y for box in boxes for _, y in box]
    left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
    return (left, top), (right, top), (right, bottom), (left, bottom)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word of a line."""

    text: str
    box: Quad


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line, and its words in order."""

    text: str
    box: Quad
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Lines that stand together."""

    box: Quad
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Uri:
    """An address that stands in the text, such as mailto:someone@outlook.com, and where."""

    address: str
    box: Quad


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """All text of a picture in reading order; no regions where nothing is written in it."""

    regions: tuple[Region, ...] = ()

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every line, in reading order."""
        return tuple(line for region in self.regions for line in region.lines)

    @property
    def full(self) -> str:
        """The lines, one below the other."""
        return "\n".join(line.text for line in self.lines)
