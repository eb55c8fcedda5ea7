"""Cuts words into lines where the service saw a break, and puts a box around each line that is turned as it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import hypot
from typing import Any, Final

from pipeline.providers.google.boxes import Corner, Frame, pixels, quadrilateral
from pipeline.schema import Box, Line
from pipeline.schema import Word as RecordWord

_BREAKS: Final = ("UNKNOWN", "SPACE", "SURE_SPACE", "EOL_SURE_SPACE", "HYPHEN", "LINE_BREAK")


class Break(Enum):
    """What separates two words: nothing, a space, the end of a line, or that end with a hyphen that is no symbol."""

    NONE = ""
    SPACE = " "
    LINE = "\n"
    HYPHEN = "-\n"

    @classmethod
    def of(cls, kind: Any) -> Break:
        """Return the break of a name or a number (discovery document, DetectedBreak)."""
        name = _BREAKS[kind] if type(kind) is int and 0 <= kind < len(_BREAKS) else kind
        return _KINDS.get(name, cls.NONE) if type(name) is str else cls.NONE


_KINDS: Final = {
    "SPACE": Break.SPACE,
    "SURE_SPACE": Break.SPACE,
    "EOL_SURE_SPACE": Break.LINE,
    "LINE_BREAK": Break.LINE,
    "HYPHEN": Break.HYPHEN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word of the service with its `polygon` as it came, and the breaks around it."""

    text: str
    polygon: Any
    before: Break
    after: Break


class LineCutter:
    """Collects the words of one block into `lines`; corners refer to `frame`."""

    def __init__(self, frame: Frame) -> None:
        self.lines: list[Line] = []
        self._frame = frame
        self._text = ""
        self._words: list[RecordWord] = []
        self._polygons: list[list[Corner] | None] = []

    def add(self, word: Word) -> None:
        """Add a word, and end the line where a break says so."""
        self._apply(word.before)
        size, corners = self._frame.size, pixels(word.polygon)
        self._polygons.append(corners)
        if size is None or corners is None:
            self._words.append({"text": word.text})
        else:
            self._words.append({"text": word.text, "box": quadrilateral(corners, size)})
        self._text += word.text
        self._apply(word.after)

    def end_line(self) -> None:
        """End the line, if it has any word."""
        if self._words:
            box = self._line_box()
            line: Line = {"text": self._text.strip(), "words": self._words}
            self.lines.append(line if box is None else {**line, "box": box})
        self._text, self._words, self._polygons = "", [], []

    def _apply(self, cut: Break) -> None:
        if not self._words:
            return
        self._text += cut.value.rstrip("\n")
        if cut in (Break.LINE, Break.HYPHEN):
            self.end_line()

    def _line_box(self) -> Box | None:
        """Return the box around the words; None where one of them has none."""
        if len(self._words) == 1:
            return self._words[0].get("box")
        size = self._frame.size
        known = [polygon for polygon in self._polygons if polygon is not None and len(polygon) == 4]
        if size is None or len(known) < len(self._polygons):
            return None
        return quadrilateral(around(known), size)


def around(words: list[list[Corner]]) -> list[Corner]:
    """Return the corners of the least rectangle around words that is turned as they are, in the order of reading.

    Each word has its corners in that order. The direction is that of all upper and lower edges together, so that a
    pixel more or less of a short word turns nothing.
    """
    edges = [(b[0] - a[0], b[1] - a[1]) for word in words for a, b in ((word[0], word[1]), (word[3], word[2]))]
    dx, dy = sum(x for x, _ in edges), sum(y for _, y in edges)
    length = hypot(dx, dy)
    ux, uy = (dx / length, dy / length) if length else (1.0, 0.0)
    points = [corner for word in words for corner in word]
    along = [x * ux + y * uy for x, y in points]
    across = [y * ux - x * uy for x, y in points]
    ends = ((min(along), min(across)), (max(along), min(across)), (max(along), max(across)), (min(along), max(across)))
    return [(u * ux - v * uy, u * uy + v * ux) for u, v in ends]
