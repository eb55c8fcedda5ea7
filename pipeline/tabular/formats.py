"""What a manifest's physical lines say, by format: each reader yields the line a row starts on and its fields."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import orjson

from pipeline.errors import LineError, ManifestError
from pipeline.tabular.line_reader import LineReader
from pipeline.tabular.text import check_line

Entry = tuple[int, Mapping[str, Any] | LineError]
Reader = Callable[[LineReader], Iterator[Entry]]


def table(line_reader: LineReader, delimiter: str, place: str) -> tuple[tuple[str, ...], Reader]:
    """Read the header of a delimited table; return it with the reader of the rows. Raises ManifestError without one."""
    for _, cells in _records(line_reader, delimiter):
        if isinstance(cells, LineError):
            raise ManifestError(f"{place}: the header can't be read: {cells}")
        header = tuple(cell.strip() for cell in cells)
        return header, partial(_rows, delimiter=delimiter, header=header)
    raise ManifestError(f"{place}: is empty; its first line must name the columns")


def _rows(line_reader: LineReader, delimiter: str, header: tuple[str, ...]) -> Iterator[Entry]:
    for line, cells in _records(line_reader, delimiter):
        if isinstance(cells, LineError):
            yield line, cells
        elif len(cells) == len(header):
            yield line, dict(zip(header, cells, strict=True))
        else:
            yield line, LineError("bad-line", _wrong_width(len(cells), len(header)))


def _records(line_reader: LineReader, delimiter: str) -> Iterator[tuple[int, list[str] | LineError]]:
    """Yield the cells of each row that isn't blank, or what is wrong with it, and the line it starts on.

    A stray quote makes csv swallow what follows, so a row that breaks is rewound: it costs its first line only.
    """
    reader = csv.reader(line_reader, delimiter=delimiter, strict=True)
    while True:
        first = line_reader.line
        try:
            cells = next(reader)
            for line in line_reader.since(first):
                check_line(line)
        except StopIteration:
            return
        except csv.Error as exc:
            line_reader.rewind(first + 1)
            yield first, LineError("bad-line", f"the line is no row of a table: {exc}")
        except LineError as exc:
            yield first, exc
        else:
            if cells and (len(cells) > 1 or not cells[0].isspace()):
                yield first, cells


def _wrong_width(found: int, expected: int) -> str:
    return f"the line has {found} fields, the header has {expected}; a value that holds a separator needs quotes"


def json_lines(line_reader: LineReader) -> Iterator[Entry]:
    """Read one JSON object a line."""
    for line in line_reader:
        if not line.isspace():
            yield line_reader.line - 1, _json_object(line)


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


def text_lines(line_reader: LineReader, column: str) -> Iterator[Entry]:
    """Read one image a line."""
    for line in line_reader:
        if not line.isspace():
            yield line_reader.line - 1, _only(line, column)


def _only(line: str, column: str) -> Mapping[str, Any] | LineError:
    try:
        check_line(line)
    except LineError as exc:
        return exc
    return {column: line}
