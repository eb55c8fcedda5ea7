"""The formats that tables can be written in, by the extension of the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.export.arrow_files import duckdb_file, parquet_files
from pipeline.export.tables import Row, Table
from pipeline.export.text_files import csv_files, json_files
from pipeline.export.workbook import workbook
from pipeline.export.writer import OpenTables, Write

FORMATS: dict[str, OpenTables] = {
    ".parquet": parquet_files,
    ".csv": csv_files,
    ".jsonl": json_files,
    ".duckdb": duckdb_file,
    ".xlsx": workbook,
}
_ROWS_AT_ONCE = 2_000


def format_of(path: Path) -> OpenTables:
    """Return what writes the format of a file; raises UsageError where its extension says none."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise UsageError(f"{path}: the extension says no format; end the name in one of {', '.join(FORMATS)}") from None


@contextmanager
def open_tables(path: Path, tables: Sequence[Table]) -> Iterator[Batches]:
    """Open `path` for tables, and give what takes their rows; the files are whole when the context ends."""
    with format_of(path)(path, tables) as write:
        batches = Batches(write)
        yield batches
        batches.flush()


class Batches:
    """Collects rows of tables, and hands them on to `write` some thousand at a time."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: dict[str, tuple[Table, list[Row]]] = {}

    def add(self, table: Table, rows: Iterable[Row]) -> None:
        """Take rows of a table."""
        _, waiting = self._waiting.setdefault(table.name, (table, []))
        waiting.extend(rows)
        if len(waiting) >= _ROWS_AT_ONCE:
            self._write(table, waiting)
            waiting.clear()

    def flush(self) -> None:
        """Hand on what is left."""
        for table, rows in self._waiting.values():
            if rows:
                self._write(table, rows)
        self._waiting.clear()
