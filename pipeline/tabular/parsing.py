"""Parses physical lines, by format: every parser yields the number of a row's first line and the row's fields."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.errors import LineError, TableError
from pipeline.tabular.columns import WantedColumns, find_aliases
from pipeline.tabular.decoding import MAX_LINE_CHARS, check_line
from pipeline.tabular.detection import split_line
from pipeline.tabular.line_reader import LineReader
from pipeline.wording import counted

LineFields = Mapping[str, Any]
ParsedLine = tuple[int, LineFields | LineError]
Parser = Callable[[LineReader], Iterator[ParsedLine]]

_MOST_SHAPES = 100  # sets of keys that the aliases are remembered for
# As in the lists of rsync and rclone.
_COMMENTS = ("#", ";")
_LIKE_IMAGE = re.compile(r"(https?:)?//\S+|token:\S+|[^\s/\\]*[/\\]\S+|\S+\.\w{2,5}", re.IGNORECASE)
# The csv module has one limit for the whole process: it is raised where a line may be longer, and never lowered.
csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_CHARS))


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvParser:
    """Parses the rows of a csv table below its header. `aliases` maps names of columns to those in the header.

    A row of empty cells is none, and empty cells behind the last column don't count.
    """

    header: tuple[str, ...]
    delimiter: str
    aliases: Mapping[str, str]
    image: str

    def __call__(self, lines: LineReader) -> Iterator[ParsedLine]:
        """Yield the line and the fields of each row."""
        names, width = self.header, len(self.header)
        for line, cells in _csv_rows(lines, self.delimiter, self._is_row):
            if isinstance(cells, LineError):
                yield line, cells
            elif len(cells) == width or (len(cells) > width and not any(map(str.strip, cells[width:]))):
                fields = dict(zip(names, cells, strict=False))
                for name, column in self.aliases.items():
                    fields[name] = fields[column]
                yield line, fields
            else:
                yield line, LineError("bad-line", _wrong_width(len(cells), width))

    def _is_row(self, line: str) -> bool:
        """Return True if a line looks like a row by itself: it has the header's width, and an image in its place."""
        if line.count(self.delimiter) < len(self.header) - 1:
            return False
        cells = split_line(line, self.delimiter)
        place = self.header.index(self.aliases.get(self.image, self.image))
        return (
            len(cells) >= len(self.header)
            and not any(map(str.strip, cells[len(self.header) :]))
            and _LIKE_IMAGE.fullmatch(cells[place].strip().strip('"')) is not None
        )


def read_header(lines: LineReader, delimiter: str, place: str) -> tuple[str, ...]:
    """Read the header of a csv table; raises TableError where there is none. Empty names at its end are left out."""
    for _, cells in _csv_rows(lines, delimiter, lambda _: False):
        if isinstance(cells, LineError):
            raise TableError(f"{place}: the header can't be read: {cells}")
        names = [cell.strip() for cell in cells]
        while not names[-1]:
            names.pop()
        return tuple(names)
    raise TableError(f"{place}: is empty; its first line must name the columns")


def _csv_rows(
    lines: LineReader, delimiter: str, is_row: Callable[[str], bool]
) -> Iterator[tuple[int, list[str] | LineError]]:
    """Yield the first line and the cells of each row that isn't empty, or what is wrong with it.

    After a stray quote the csv module reads on to the next one. A broken row is rewound, and so is one whose further
    lines are all rows by themselves: only its first line is lost.
    """
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        first = lines.line
        try:
            cells = next(rows)
            taken = lines.taken_from(first)
            for line in taken:
                check_line(line)
        except StopIteration:
            return
        except csv.Error as exc:
            lines.rewind(first + 1)
            yield first, LineError("bad-line", f"the line is no row of a table: {exc}")
        except LineError as exc:
            yield first, exc
        else:
            if len(taken) > 1 and _are_rows(taken[1:], is_row):
                lines.rewind(first + 1)
                yield first, _stray_quote(first, len(taken))
            elif any(map(str.strip, cells)):
                yield first, cells


def _are_rows(lines: Sequence[str], is_row: Callable[[str], bool]) -> bool:
    written = [line for line in lines if not line.isspace()]
    return bool(written) and all(map(is_row, written))


def _stray_quote(line: int, count: int) -> LineError:
    where = f"line {line + 1}" if count == 2 else f"lines {line + 1} to {line + count - 1}"
    what = f'a quote in it goes on through {where}, as if rows of their own were its text; write it twice ("")'
    return LineError("bad-line", what)


def _wrong_width(actual: int, expected: int) -> str:
    has = f"the line has {counted(actual, 'field')}, the header has {expected}"
    return f"{has}; a value that holds a separator needs quotes"


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonParser:
    """Parses one JSON object a line. Numbers in the columns `ids` become the text that the line has for them."""

    columns: WantedColumns

    def __call__(self, lines: LineReader) -> Iterator[ParsedLine]:
        """Yield the line and the fields of each object."""
        aliases: dict[tuple[str, ...], dict[str, str]] = {}
        wanted = self.columns.names
        for line in lines:
            if line.isspace():
                continue
            fields = _json_object(line)
            if not isinstance(fields, LineError):
                names = tuple(fields)
                if names not in aliases:
                    if len(aliases) == _MOST_SHAPES:
                        aliases.clear()
                    aliases[names] = find_aliases(names, wanted)
                self._complete(fields, aliases[names], line)
            yield lines.line - 1, fields

    def _complete(self, fields: dict[str, Any], aliases: Mapping[str, str], line: str) -> None:
        for name, column in aliases.items():
            fields[name] = fields[column]
        for name in self.columns.ids:
            if isinstance(value := fields.get(name), float):
                fields[name] = _number_text(line, aliases.get(name, name), value)


def _json_object(line: str) -> dict[str, Any] | LineError:
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


def _number_text(line: str, key: str, value: float) -> str:
    """Return a number as its line has it: "7.0" stays "7.0", and no digit of a large one is lost."""
    try:
        return str(json.loads(line, parse_float=str, parse_int=str)[key])
    except RecursionError:  # beside a value that is nested very deep
        return repr(value)


def check_json_lines(first: Sequence[str], place: str) -> None:
    """Raise TableError where the first lines of a file show that it is one JSON document over several lines."""
    written = [line.strip() for line in first if not line.isspace()]
    if not written or not written[0].startswith(("[", "{")):
        return
    is_whole = not isinstance(_parsed(written[0]), orjson.JSONDecodeError)
    is_followed = len(written) > 1 and written[1].startswith("{")
    if written[0][0] == "[" and not (is_whole and is_followed):
        raise TableError(
            f"{place}: is one JSON array; write each object in a line of its own: jq -c '.[]' {place} > rows.jsonl"
        )
    if not is_whole and len(written) > 1 and not is_followed:
        raise TableError(
            f"{place}: is JSON over several lines; write each object in a line of its own: jq -c . {place} > rows.jsonl"
        )


def _parsed(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        return exc


@dataclass(frozen=True, slots=True, kw_only=True)
class TextParser:
    """Parses one value a line: the whole line is the field `column`, without the quotes of a copied path.

    Lines that begin with # or ; are comments.
    """

    column: str

    def __call__(self, lines: LineReader) -> Iterator[ParsedLine]:
        """Yield the line and the field of each value."""
        for line in lines:
            text = line.strip()
            if text and not text.startswith(_COMMENTS):
                yield lines.line - 1, self._fields(line, text)

    def _fields(self, line: str, text: str) -> LineFields | LineError:
        try:
            check_line(line)
        except LineError as exc:
            return exc
        is_quoted = len(text) > 2 and text[0] == text[-1] == '"'
        return {self.column: text[1:-1] if is_quoted else text}


def check_text_lines(line: str, column: str, section: str, place: str) -> None:
    """Raise TableError where the first line of a list is the header of a table."""
    for delimiter, name in ((",", "csv"), (";", "csv"), ("\t", "tsv")):
        cells = [cell.strip().casefold() for cell in split_line(line, delimiter)]
        if len(cells) > 1 and column.casefold() in cells:
            raise TableError(f'{place}: begins with the header of a table; set {section}.format = "{name}"')
