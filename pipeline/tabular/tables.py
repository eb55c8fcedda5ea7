"""Opens a table, finds out how it is written, checks that it has the columns it needs, and reads it line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from io import BufferedReader
from types import TracebackType
from typing import Self

from pipeline.errors import TableError
from pipeline.tabular.columns import WantedColumns, check_columns, find_aliases, find_hints, has_column
from pipeline.tabular.compression import open_binary
from pipeline.tabular.decoding import HEAD_BYTES, ReplayedStream, physical_lines
from pipeline.tabular.detection import UTF_8, WINDOWS, excel_delimiter, find_delimiter, find_encoding
from pipeline.tabular.formats import AUTO, TableFile, TableFormat
from pipeline.tabular.line_reader import LineReader
from pipeline.tabular.parquet import ParquetRows
from pipeline.tabular.parsing import (
    CsvParser,
    JsonParser,
    ParsedLine,
    Parser,
    TextParser,
    check_json_lines,
    check_text_lines,
    read_header,
)
from pipeline.tabular.standard_input import StandardInput

_LOOK_AHEAD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """An open table; iterate over it once, then close it, or use it as a context manager.

    `lines` are those still to be read, `parse` makes fields of them, `header` names the columns of a table that lists
    them (empty for other formats). `format` is how it is read, `notes` are sentences about what was found out for it.
    Iterating raises TableError where the file can't be read on.
    """

    lines: LineReader
    parse: Parser
    format: TableFormat
    header: tuple[str, ...]
    notes: tuple[str, ...]
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
    if table_format.kind == "parquet":
        return _open_parquet(file, table_format, columns)
    with ExitStack() as opened:
        place = file.path if stdin is None else "stdin"
        stream = _open_file(file, opened) if stdin is None else _open_stdin(stdin, table_format, opened)
        encoding = find_encoding(stream.head) if file.encoding == AUTO else table_format.encoding
        start = _Start(
            lines=LineReader(physical_lines(stream, encoding, place), place=place),
            format=replace(table_format, encoding=encoding),
            file=file,
            columns=columns,
            place=place,
            looks_ahead=stdin is None,
        )
        table = start.read()
        notes = (*_encoding_notes(file, encoding), *table.notes)
        return replace(table, notes=notes, close=opened.pop_all().close)


def _open_parquet(file: TableFile, table_format: TableFormat, columns: WantedColumns) -> Table:
    rows = ParquetRows(file, columns)
    return Table(
        lines=LineReader(rows.lines()),
        parse=JsonParser(columns=columns),
        format=table_format,
        header=rows.header,
        notes=tuple(find_hints(rows.header, columns)),
        close=rows.close,
    )


def _open_file(file: TableFile, opened: ExitStack) -> ReplayedStream:
    try:
        return opened.enter_context(ReplayedStream(open_binary(file.path), HEAD_BYTES))
    except OSError as exc:
        raise TableError(f"{file.section}.path: {file.path} can't be read: {exc.strerror}") from exc


def _open_stdin(descriptor: int, table_format: TableFormat, opened: ExitStack) -> ReplayedStream:
    """Open stdin, without waiting for the first line of a list. It is stopped and not closed: a thread may read it."""
    source = StandardInput(descriptor)
    opened.callback(source.stop)
    return ReplayedStream(BufferedReader(source), 0 if table_format.kind == "txt" else HEAD_BYTES, waits=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """The start of a table: its lines before anything is read; a list from stdin is not looked at before its turn."""

    lines: LineReader
    format: TableFormat
    file: TableFile
    columns: WantedColumns
    place: str
    looks_ahead: bool

    def read(self) -> Table:
        """Return the table with its header read, its first lines looked at, and its columns checked."""
        match self.format.kind:
            case "csv":
                return self._csv()
            case "jsonl":
                return self._json()
            case _:
                return self._text()

    def _csv(self) -> Table:
        section, columns = self.file.section, self.columns
        delimiter, why = self._delimiter()
        header = read_header(self.lines, delimiter, self.place)
        try:
            check_columns(header, columns, self.place)
        except TableError as exc:
            if len(header) > 1:
                raise
            raise TableError(f"{exc}; if the columns are separated otherwise, set {section}.delimiter") from exc
        aliases = find_aliases(header, columns.names)
        notes = (
            [f"the columns are separated by {_named(delimiter)} ({why}; {section}.delimiter sets it)"] if why else []
        )
        return self._table(
            CsvParser(header=header, delimiter=delimiter, aliases=aliases, image=columns.image),
            replace(self.format, delimiter=delimiter),
            header=header,
            notes=(*notes, *find_hints(header, columns)),
        )

    def _delimiter(self) -> tuple[str, str]:
        """Return the delimiter, and how it was found out, nothing where that is no news; Excel's own line is read."""
        first = self._peek_written()
        named = excel_delimiter(first)
        if named is not None:
            while next(self.lines) != first:
                pass
        if self.file.delimiter != AUTO:
            return self.format.delimiter, ""
        if named is not None:
            return named, "as its first line says"
        delimiter = find_delimiter(first, self.format.delimiter, partial(has_column, name=self.columns.image))
        return delimiter, "" if delimiter == self.format.delimiter else "as its header shows"

    def _json(self) -> Table:
        columns, first = self.columns, self._peek(_LOOK_AHEAD)
        check_json_lines(first, self.place)
        parse = JsonParser(columns=columns)
        objects = [fields for _, fields in parse(LineReader(first)) if isinstance(fields, Mapping)]
        keys = tuple(dict.fromkeys(key for fields in objects for key in fields))
        if keys:  # of these only the image must be there: any line may lack the others
            check_columns(keys, replace(columns, required=(), optional=()), self.place)
        return self._table(parse, self.format, notes=tuple(find_hints(keys, columns)))

    def _text(self) -> Table:
        if self.looks_ahead:
            check_text_lines(self._peek_written(), self.columns.image, self.file.section, self.place)
        return self._table(TextParser(column=self.columns.image), self.format)

    def _table(
        self, parse: Parser, table_format: TableFormat, header: tuple[str, ...] = (), notes: tuple[str, ...] = ()
    ) -> Table:
        return Table(lines=self.lines, parse=parse, format=table_format, header=header, notes=notes, close=lambda: None)

    def _peek(self, count: int) -> list[str]:
        first = self.lines.read(count)
        self.lines.put_back(first)
        return first

    def _peek_written(self) -> str:
        """Return the first line that is not blank, nothing where there is none among the first ones."""
        first: list[str] = []
        while len(first) < _LOOK_AHEAD and (line := self.lines.read(1)):
            first += line
            if not line[0].isspace():
                break
        self.lines.put_back(first)
        return first[-1] if first else ""


def _named(delimiter: str) -> str:
    return "tabs" if delimiter == "\t" else f"{delimiter!r}"


def _encoding_notes(file: TableFile, encoding: str) -> list[str]:
    if file.encoding != AUTO or encoding == UTF_8:
        return []
    why = "it is not UTF-8, and reads like a Western language" if encoding == WINDOWS else "as its first bytes show"
    return [f"the encoding is {encoding} ({why}; {file.section}.encoding sets it)"]
