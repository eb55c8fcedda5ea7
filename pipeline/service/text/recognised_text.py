"""The text that was read in a picture: regions, lines and words, and the addresses in them.

A box has four corners (x, y) in fractions of the upright query, in the direction of the text: the first corner is where
the first letter begins, the second where the line ends, however the text is turned (Visual Search response guide,
TextLine).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
Quad = tuple[Point, Point, Point, Point]


def bounding_quad(boxes: Sequence[Quad]) -> Quad:
    """Return the upright box around boxes."""
    xs, ys = [x for box in boxes for x, _ in box], [y for box in boxes for _, y in box]
    left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
    return (left, top), (right, top), (right, bottom), (left, bottom)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextWord:
    """One word of a line."""

    text: str
    box: Quad


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLine:
    """One line and its words, in reading order."""

    text: str
    box: Quad
    words: tuple[TextWord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRegion:
    """A block of lines that belong together."""

    box: Quad
    lines: tuple[TextLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextUri:
    """An address in the text, such as mailto:someone@outlook.com, and where it is."""

    address: str
    box: Quad


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognisedText:
    """All text of a picture in reading order; no regions if the picture has no text."""

    regions: tuple[TextRegion, ...] = ()

    @property
    def lines(self) -> tuple[TextLine, ...]:
        """Every line, in reading order."""
        return tuple(line for region in self.regions for line in region.lines)

    @property
    def full(self) -> str:
        """The lines, separated by line feeds."""
        return "\n".join(line.text for line in self.lines)
