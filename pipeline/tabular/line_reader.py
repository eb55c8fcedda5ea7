"""Physical lines one after another, with a way back: lines that were taken can be put back and are read again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice


class LineReader:
    """Lines to be read, the next of them number `line`.

    `taken` holds what was iterated over since `begin`, `chars` its length; `is_rewound` tells whether a reader has
    looked at lines beyond those it took.
    """

    def __init__(self, lines: Iterable[str], line: int = 1) -> None:
        self._lines = iter(lines)
        self._ahead: deque[str] = deque()
        self.line = line
        self.begin()

    def __iter__(self) -> LineReader:
        return self

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else next(self._lines)
        self.line += 1
        self.taken.append(line)
        self.chars += len(line)
        return line

    def begin(self) -> None:
        """Forget what was taken."""
        self.taken: list[str] = []
        self.chars = 0
        self.is_rewound = False

    def since(self, line: int) -> list[str]:
        """Return what was taken from number `line` on."""
        return self.taken[len(self.taken) - (self.line - line) :]

    def rewind(self, line: int) -> None:
        """Put back what was taken from number `line` on."""
        lines = self.since(line)
        del self.taken[len(self.taken) - len(lines) :]
        self.chars -= sum(map(len, lines))
        self.is_rewound = True
        self.put_back(lines)

    def take(self, count: int) -> list[str]:
        """Return the next `count` lines, fewer at the end."""
        lines = [self._ahead.popleft() for _ in range(min(count, len(self._ahead)))]
        lines += islice(self._lines, count - len(lines))
        self.line += len(lines)
        return lines

    def put_back(self, lines: list[str]) -> None:
        """Let `lines` be the next ones again."""
        self._ahead.extendleft(reversed(lines))
        self.line -= len(lines)
