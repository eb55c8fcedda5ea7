"""Physical lines one after another, with pushback: lines that were taken can be put back and are then read again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice


class LineReader:
    """An iterator over lines; `line` is the number of the next one.

    Pushback serves two callers. The csv module reads on to the next quote, so a row that turns out to be broken is put
    back but for its first line. And a segment of lines is compared with a known one before any row is read from it.

    `taken` holds the lines that were iterated over since the last `forget`, `taken_chars` their length; `is_rewound`
    is true where lines behind them were looked at too.
    """

    def __init__(self, lines: Iterable[str], line: int = 1) -> None:
        self._lines = iter(lines)
        self._pushed_back: deque[str] = deque()
        self.line = line
        self.forget()

    def __iter__(self) -> LineReader:
        return self

    def __next__(self) -> str:
        line = self._pushed_back.popleft() if self._pushed_back else next(self._lines)
        self.line += 1
        self.taken.append(line)
        self.taken_chars += len(line)
        return line

    def forget(self) -> None:
        """Drop the lines that were taken: they can't be put back by `rewind` any more."""
        self.taken: list[str] = []
        self.taken_chars = 0
        self.is_rewound = False

    def taken_from(self, line: int) -> list[str]:
        """Return the lines that were taken, from number `line` on."""
        return self.taken[len(self.taken) - (self.line - line) :]

    def rewind(self, line: int) -> None:
        """Put back the lines that were taken, from number `line` on."""
        lines = self.taken_from(line)
        del self.taken[len(self.taken) - len(lines) :]
        self.taken_chars -= sum(map(len, lines))
        self.is_rewound = True
        self.put_back(lines)

    def read(self, count: int) -> list[str]:
        """Return the next `count` lines, fewer at the end, without noting them as taken."""
        lines = [self._pushed_back.popleft() for _ in range(min(count, len(self._pushed_back)))]
        lines += islice(self._lines, count - len(lines))
        self.line += len(lines)
        return lines

    def put_back(self, lines: list[str]) -> None:
        """Make `lines` the next ones again."""
        self._pushed_back.extendleft(reversed(lines))
        self.line -= len(lines)
