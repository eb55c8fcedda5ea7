"""Writes tables as files of text: CSV and lines of JSON, a file for each table."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson

from pipeline.export.columns import Cell
from pipeline.export.new_file import new_file
from pipeline.export.tables import Row, Table
from pipeline.export.writer import Write, table_path

# A spreadsheet takes text that begins like this for a formula, which may start programs (OWASP, CSV Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@contextmanager
def csv_files(path: Path, tables: Sequence[Table]) -> Iterator[Write]:
    """Write CSV in UTF-8; an unknown value is empty, and text that begins like a formula gets an apostrophe."""
    with ExitStack() as opened:
        writers = {}
        for table in tables:
            temporary = opened.enter_context(new_file(table_path(path, table)))
            file = opened.enter_context(temporary.open("w", encoding="utf-8", newline=""))
            writers[table.name] = csv.writer(file)
            writers[table.name].writerow(column.name for column in table.columns)

        def write(table: Table, rows: Sequence[Row]) -> None:
            writers[table.name].writerows([_csv_cell(cell) for cell in row] for row in rows)

        yield write


@contextmanager
def json_files(path: Path, tables: Sequence[Table]) -> Iterator[Write]:
    """Write a JSON object for each row; an unknown value is null."""
    with ExitStack() as opened:
        files = {}
        for table in tables:
            temporary = opened.enter_context(new_file(table_path(path, table)))
            files[table.name] = opened.enter_context(temporary.open("wb"))

        def write(table: Table, rows: Sequence[Row]) -> None:
            names = [column.name for column in table.columns]
            objects = (dict(zip(names, row, strict=True)) for row in rows)
            files[table.name].writelines(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in objects)

        yield write


def _csv_cell(cell: Cell) -> Cell:
    if isinstance(cell, str):
        return f"'{cell}" if cell.startswith(_FORMULA) else cell
    return str(cell).lower() if isinstance(cell, bool) else cell
