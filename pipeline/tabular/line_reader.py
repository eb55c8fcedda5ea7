"""Physical lines one after another, with pushback: lines that were taken can be put back and are then read again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from pipeline.errors import TableError

# Empty lines, rows of bare commas, comments: a small compressed file may hold hundreds of millions of them. A
# spreadsheet has a million lines.
MOST_LINES_OF_A_ROW: Final = 2_000_000


class LineReader:
    """An iterator over lines; `line` is the number of the next one. A run of empty lines may be one text.

    Pushback serves two callers. The csv module reads on to the next quote, so a row that turns out to be broken is put
    back but for its first line. And a segment of lines is compared with a known one before any row is read from it.

    `taken` holds the lines that were iterated over since the last `forget`, `taken_chars` their length; `is_rewound`
    is true where lines behind them were looked at too. Iterating raises TableError, with `place`, where too many lines
    make no row.
    """

    def __init__(self, lines: Iterable[str], line: int = 1, *, place: str = "") -> None:
        self._lines = iter(lines)
        self._place = place
        self._pushed_back: deque[str] = deque()
        self.line = line
        self.forget()

    def __iter__(self) -> LineReader:
        return self

    def __next__(self) -> str:
        line = self._next()
        if not line:
            raise StopIteration
        self.taken.append(line)
        self.taken_chars += len(line)
        self._rowless += 1
        if self._rowless > MOST_LINES_OF_A_ROW:
            where = f"{MOST_LINES_OF_A_ROW:,} lines up to line {self.line - 1:,}"
            raise TableError(f"{self._place}: there is no row in {where}; remove these lines")
        return line

    def note_row(self) -> None:
        """Note that the lines which were taken make a row."""
        self._rowless = 0

    def forget(self) -> None:
        """Drop the lines that were taken: they can't be put back by `rewind` any more."""
        self.taken: list[str] = []
        self.taken_chars = 0
        self.is_rewound = False
        self._rowless = 0

    def taken_from(self, line: int) -> list[str]:
        """Return the lines that were taken, from number `line` on."""
        start, number = len(self.taken), self.line
        while number > line:
            start -= 1
            number -= count_lines(self.taken[start])
        return self.taken[start:]

    def rewind(self, line: int) -> None:
        """Put back the lines that were taken, from number `line` on."""
        lines = self.taken_from(line)
        del self.taken[len(self.taken) - len(lines) :]
        self.taken_chars -= sum(map(len, lines))
        self.is_rewound = True
        self.put_back(lines)

    def read(self, count: int) -> list[str]:
        """Return the next `count` lines, fewer at the end, without noting them as taken; more where a run ends them."""
        lines, end = [], self.line + count
        while self.line < end and (line := self._next()):
            lines.append(line)
        return lines

    def put_back(self, lines: list[str]) -> None:
        """Make `lines` the next ones again."""
        self._pushed_back.extendleft(reversed(lines))
        self.line -= sum(map(count_lines, lines))

    def _next(self) -> str:
        """Return the next line, nothing at the end."""
        line = self._pushed_back.popleft() if self._pushed_back else next(self._lines, "")
        self.line += count_lines(line)
        return line


def count_lines(text: str) -> int:
    """Return how many lines a text of a line reader is: a run of empty ones has as many as characters."""
    if not text.startswith("\n"):
        return 1 if text else 0
    return len(text) if text.count("\n") == len(text) else 1
