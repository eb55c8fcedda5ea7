"""Opens a table, checks that it has the columns it needs, and reads it line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.errors import TableError
from pipeline.tabular.compression import open_binary
from pipeline.tabular.decoding import as_text, physical_lines
from pipeline.tabular.formats import TableFile, TableFormat
from pipeline.tabular.line_reader import LineReader
from pipeline.tabular.parsing import ParsedLine, Parser, csv_parser, parse_json, parse_text
from pipeline.tabular.standard_input import StandardInput

_JSON_LOOK_AHEAD = 20
_COLUMNS_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedColumns:
    """The columns that are read from a table.

    Every table needs `image`, the only column of plain text. A csv header must name those in `required` too, and
    nothing that is read, `optional` columns included, more than once. `settings` are the config keys that choose the
    columns, for messages.
    """

    image: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    settings: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """An open table; iterate over it once, then close it, or use it as a context manager.

    `lines` are those still to be read, `parse` makes fields of them, `header` names the columns of a csv table (empty
    for other formats). Iterating raises TableError where the file can't be read on.
    """

    lines: LineReader
    parse: Parser
    header: tuple[str, ...]
    close: Callable[[], None]

    def __iter__(self) -> Iterator[ParsedLine]:
        for parsed in self.parse(self.lines):
            self.lines.forget()
            yield parsed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_table(
    file: TableFile, table_format: TableFormat, columns: WantedColumns, *, stdin: int | None = None
) -> Table:
    """Open a table, read its header and check its columns; `stdin` is a file descriptor to be read instead of the path.

    Raises TableError where it can't be read or lacks a column.
    """
    with ExitStack() as opened:
        place = file.path if stdin is None else "stdin"
        encoding = table_format.encoding
        stream = _open_file(file, encoding, opened) if stdin is None else _open_stdin(stdin, encoding, opened)
        lines = LineReader(physical_lines(stream, place))
        header, parse = _parser(lines, table_format, columns, place)
        return Table(lines=lines, parse=parse, header=header, close=opened.pop_all().close)


def _open_file(file: TableFile, encoding: str, opened: ExitStack) -> TextIOWrapper:
    try:
        return opened.enter_context(as_text(open_binary(Path(file.path)), encoding))
    except OSError as exc:
        raise TableError(f"{file.section}.path: {file.path} can't be read: {exc.strerror}") from exc


def _open_stdin(descriptor: int, encoding: str, opened: ExitStack) -> TextIOWrapper:
    source = StandardInput(descriptor)
    opened.callback(source.stop)
    return as_text(BufferedReader(source), encoding)


def _parser(
    lines: LineReader, table_format: TableFormat, columns: WantedColumns, place: str
) -> tuple[tuple[str, ...], Parser]:
    """Return the header of a csv table and the parser of a table's rows; check that the columns are there."""
    if table_format.kind == "txt":
        return (), partial(parse_text, column=columns.image)
    if table_format.kind == "jsonl":
        if keys := _first_keys(lines):
            _check_columns(keys, WantedColumns(image=columns.image, settings=columns.settings), place)
        return (), parse_json
    header, parse = csv_parser(lines, table_format.delimiter, place)
    _check_columns(header, columns, place)
    return header, parse


def _first_keys(lines: LineReader) -> list[str]:
    """Return the keys of the first JSON objects; of these the image must be one, others may be absent from any line."""
    first = lines.read(_JSON_LOOK_AHEAD)
    lines.put_back(first)
    objects = [fields for _, fields in parse_json(LineReader(first)) if isinstance(fields, Mapping)]
    return list(dict.fromkeys(key for fields in objects for key in fields))


def _check_columns(header: Sequence[str], columns: WantedColumns, place: str) -> None:
    """Raise TableError, naming every column that is missing, and every one that is read and occurs twice."""
    needed = _unique([columns.image, *columns.required])
    problems = [f"there is no column {name!r}{_suggestion(name, header)}" for name in needed if name not in header]
    repeated = [name for name in _unique([*needed, *columns.optional]) if header.count(name) > 1]
    problems += [f"the column {name!r} is in the header twice" for name in repeated]
    if problems:
        raise TableError(f"{place}: {'; '.join(problems)} (see {columns.settings})")


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _suggestion(name: str, header: Sequence[str]) -> str:
    close = get_close_matches(name, header, n=1)
    shown = ", ".join(repr(column) for column in header[:_COLUMNS_SHOWN])
    return f", did you mean {close[0]!r}?" if close else f", only {shown}"
