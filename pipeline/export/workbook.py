"""Writes tables as an Excel workbook, a sheet for each, row by row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.export.columns import Cell
from pipeline.export.new_file import new_file
from pipeline.export.tables import Row, Table
from pipeline.export.writer import Write, package

# Limits of Excel (specifications and limits, worksheet).
MOST_ROWS = 1_048_576
MOST_CHARS = 32_767
# What XML 1.0 has no form for.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


@contextmanager
def workbook(path: Path, tables: Sequence[Table]) -> Iterator[Write]:
    """Write one workbook; text is text whatever it begins with, and is cut where a cell holds no more.

    Raises UsageError where a sheet holds no more rows.
    """
    openpyxl, cells = package("openpyxl", path), package("openpyxl.cell", path)
    book = openpyxl.Workbook(write_only=True)
    sheets = {table.name: book.create_sheet(table.name) for table in tables}
    counts: Counter[str] = Counter()

    def write(table: Table, rows: Sequence[Row]) -> None:
        counts[table.name] += len(rows)
        if counts[table.name] > MOST_ROWS:
            raise UsageError(
                f"{path}: a sheet holds {MOST_ROWS:,} rows, and the table {table.name} has more; "
                "choose .parquet or .csv"
            )
        sheet = sheets[table.name]
        for row in rows:
            sheet.append([_cell(cell, cells.WriteOnlyCell, sheet) for cell in row])

    with new_file(path) as temporary:
        for table in tables:
            sheets[table.name].freeze_panes = "B2"
            write(table, [tuple(column.name for column in table.columns)])
        try:
            yield write
        except BaseException:
            for sheet in sheets.values():
                sheet.close()
            raise
        book.save(temporary)


def _cell(value: Cell, make: Callable[..., Any], sheet: Any) -> Any:
    """Return a cell; one that holds text says so, else openpyxl makes a formula of what begins with `=`."""
    if not isinstance(value, str):
        return value
    text = _UNWRITABLE.sub("\ufffd", value)
    cell = make(sheet, value=text if len(text) <= MOST_CHARS else f"{text[: MOST_CHARS - 1]}…")
    cell.data_type = "s"
    return cell
