"""What a manifest's physical lines say, by format: each reader yields the line a row starts on and its fields."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from pipeline.errors import LineError, ManifestError
from pipeline.manifest.lines import check_line

Entry = tuple[int, Mapping[str, Any] | LineError]


class Tape:
    """Physical lines for the csv module; those of the row being read can be rewound.

    A stray quote makes csv swallow what follows, so a row that breaks costs its first line only.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._ahead: deque[str] = deque()
        self.taken: list[str] = []
        self.first = 1

    def __iter__(self) -> Tape:
        return self

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else next(self._lines)
        self.taken.append(line)
        return line

    def begin(self) -> None:
        """Forget the row that was read: the next line taken starts another."""
        self.first += len(self.taken)
        self.taken.clear()

    def rewind(self) -> None:
        """Keep the first line of the row only; the others are read again."""
        self._ahead.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def table(lines: Iterator[str], delimiter: str, place: str) -> tuple[tuple[str, ...], Iterator[Entry]]:
    """Read the header of a delimited table and return it with the rows below; raises ManifestError without one."""
    tape = Tape(lines)
    for _, cells in _records(tape, delimiter):
        if isinstance(cells, LineError):
            raise ManifestError(f"{place}: the header can't be read: {cells}")
        header = tuple(cell.strip() for cell in cells)
        return header, _rows(tape, delimiter, header)
    raise ManifestError(f"{place}: is empty; its first line must name the columns")


def _rows(tape: Tape, delimiter: str, header: tuple[str, ...]) -> Iterator[Entry]:
    for line, cells in _records(tape, delimiter):
        if isinstance(cells, LineError):
            yield line, cells
        elif len(cells) == len(header):
            yield line, dict(zip(header, cells, strict=True))
        else:
            yield line, LineError("bad-line", _wrong_width(len(cells), len(header)))


def _records(tape: Tape, delimiter: str) -> Iterator[tuple[int, list[str] | LineError]]:
    """Yield the cells of each row that isn't blank, or what is wrong with it, and the line it starts on."""
    reader = csv.reader(tape, delimiter=delimiter, strict=True)
    while True:
        tape.begin()
        try:
            cells = next(reader)
            for line in tape.taken:
                check_line(line)
        except StopIteration:
            return
        except csv.Error as exc:
            tape.rewind()
            yield tape.first, LineError("bad-line", f"the line is no row of a table: {exc}")
        except LineError as exc:
            yield tape.first, exc
        else:
            if cells and (len(cells) > 1 or not cells[0].isspace()):
                yield tape.first, cells


def _wrong_width(found: int, expected: int) -> str:
    return f"the line has {found} fields, the header has {expected}; a value that holds a separator needs quotes"


def json_lines(lines: Iterator[str]) -> Iterator[Entry]:
    """Read one JSON object a line."""
    for number, line in enumerate(lines, 1):
        if not line.isspace():
            yield number, _json_object(line)


def _json_object(line: str) -> Mapping[str, Any] | LineError:
    try:
        check_line(line)
        value = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        return LineError("bad-line", f"the line is not JSON: {exc.msg} (column {exc.colno})")
    except LineError as exc:
        return exc
    if isinstance(value, dict):
        return value
    return LineError("bad-line", "the line is no JSON object; write one {...} with the columns as keys a line")


def text_lines(lines: Iterator[str], column: str) -> Iterator[Entry]:
    """Read one image a line."""
    for number, line in enumerate(lines, 1):
        if not line.isspace():
            yield number, _only(line, column)


def _only(line: str, column: str) -> Mapping[str, Any] | LineError:
    try:
        check_line(line)
    except LineError as exc:
        return exc
    return {column: line}
