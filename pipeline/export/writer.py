"""What every writer of tables is: it opens files for tables, and takes rows of them, some thousand at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.export.tables import PICTURES, Row, Table

Write = Callable[[Table, Sequence[Row]], None]
# Opens the files at a path for tables; they are whole, and under their names, when the context ends.
OpenTables = Callable[[Path, Sequence[Table]], AbstractContextManager[Write]]


def table_path(path: Path, table: Table) -> Path:
    """Return the file of a table: the flat one has the path itself, a child its name before the extension."""
    return path if table.name == PICTURES else path.with_name(f"{path.stem}.{table.name}{path.suffix}")


def package(name: str, path: Path) -> Any:
    """Return a package that a format needs; raises UsageError where it isn't installed."""
    try:
        return import_module(name)
    except ImportError as exc:
        needed = name.partition(".")[0]
        raise UsageError(f'{path} can\'t be written without the package {needed}; install the extra "export"') from exc
