"""Parses physical lines, by format: every parser yields the number of a row's first line and the row's fields."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import orjson

from pipeline.errors import LineError, TableError
from pipeline.tabular.decoding import check_line
from pipeline.tabular.line_reader import LineReader

LineFields = Mapping[str, Any]
ParsedLine = tuple[int, LineFields | LineError]
Parser = Callable[[LineReader], Iterator[ParsedLine]]


def csv_parser(lines: LineReader, delimiter: str, place: str) -> tuple[tuple[str, ...], Parser]:
    """Read the header of a csv table, and return it with the parser of its rows; raises TableError without a header."""
    for _, cells in _csv_rows(lines, delimiter):
        if isinstance(cells, LineError):
            raise TableError(f"{place}: the header can't be read: {cells}")
        header = tuple(cell.strip() for cell in cells)
        return header, partial(_parse_csv, delimiter=delimiter, header=header)
    raise TableError(f"{place}: is empty; its first line must name the columns")


def _parse_csv(lines: LineReader, delimiter: str, header: tuple[str, ...]) -> Iterator[ParsedLine]:
    for line, cells in _csv_rows(lines, delimiter):
        if isinstance(cells, LineError):
            yield line, cells
        elif len(cells) == len(header):
            yield line, dict(zip(header, cells, strict=True))
        else:
            yield line, LineError("bad-line", _wrong_width(len(cells), len(header)))


def _csv_rows(lines: LineReader, delimiter: str) -> Iterator[tuple[int, list[str] | LineError]]:
    """Yield the first line and the cells of each row that isn't blank, or what is wrong with it.

    After a stray quote the csv module reads on to the next one. A broken row is rewound: only its first line is lost.
    """
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        first = lines.line
        try:
            cells = next(rows)
            for line in lines.taken_from(first):
                check_line(line)
        except StopIteration:
            return
        except csv.Error as exc:
            lines.rewind(first + 1)
            yield first, LineError("bad-line", f"the line is no row of a table: {exc}")
        except LineError as exc:
            yield first, exc
        else:
            if cells and (len(cells) > 1 or not cells[0].isspace()):
                yield first, cells


def _wrong_width(actual: int, expected: int) -> str:
    return f"the line has {actual} fields, the header has {expected}; a value that holds a separator needs quotes"


def parse_json(lines: LineReader) -> Iterator[ParsedLine]:
    """Read one JSON object a line."""
    for line in lines:
        if not line.isspace():
            yield lines.line - 1, _json_object(line)


def _json_object(line: str) -> LineFields | LineError:
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


def parse_text(lines: LineReader, column: str) -> Iterator[ParsedLine]:
    """Read one value a line: the whole line is the field `column`."""
    for line in lines:
        if not line.isspace():
            yield lines.line - 1, _whole_line(line, column)


def _whole_line(line: str, column: str) -> LineFields | LineError:
    try:
        check_line(line)
    except LineError as exc:
        return exc
    return {column: line}
