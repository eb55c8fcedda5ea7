"""Writes tables through Arrow: Parquet, a file for each table, and a DuckDB database with all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import OutputError
from pipeline.export.columns import Kind
from pipeline.export.new_file import new_file
from pipeline.export.tables import Row, Table
from pipeline.export.writer import Write, package, table_path

_ARROW: dict[Kind, str] = {"text": "string", "integer": "int64", "number": "double", "boolean": "bool"}
_SQL: dict[Kind, str] = {"text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN"}
_DUCKDB = {"memory_limit": "256MB", "threads": 1}  # with less it fails while it writes
# Rows of a row group: each costs memory until the file is closed, and compresses by itself.
_GROUP_ROWS = 32_768
_GROUP_BYTES = 4_000_000


@contextmanager
def parquet_files(path: Path, tables: Sequence[Table]) -> Iterator[Write]:
    """Write Parquet, compressed with zstd."""
    arrow, parquet = package("pyarrow", path), package("pyarrow.parquet", path)
    schemas = {table.name: _schema(arrow, table) for table in tables}
    with ExitStack() as opened:
        groups = {}
        for table in tables:
            temporary = opened.enter_context(new_file(table_path(path, table)))
            writer = parquet.ParquetWriter(temporary, schemas[table.name], compression="zstd")
            groups[table.name] = _Groups(opened.enter_context(writer).write_table, arrow, schemas[table.name])
        yield lambda table, rows: groups[table.name].add(rows)
        for group in groups.values():
            group.flush()


@contextmanager
def duckdb_file(path: Path, tables: Sequence[Table]) -> Iterator[Write]:
    """Write one database with a table for each."""
    arrow, duckdb = package("pyarrow", path), package("duckdb", path)
    schemas = {table.name: _schema(arrow, table) for table in tables}
    with new_file(path) as temporary:
        try:
            with closing(duckdb.connect(str(temporary), config=_DUCKDB)) as database:
                groups = {}
                for table in tables:
                    columns = ", ".join(f'"{column.name}" {_SQL[column.kind]}' for column in table.columns)
                    database.execute(f'CREATE TABLE "{table.name}" ({columns})')
                    insert = partial(_insert, database, table.name)
                    groups[table.name] = _Groups(insert, arrow, schemas[table.name])
                yield lambda table, rows: groups[table.name].add(rows)
                for group in groups.values():
                    group.flush()
        except duckdb.Error as exc:
            raise OutputError(f"{path} can't be written ({exc}); make room or choose another place") from exc


class _Groups:
    """Collects rows of a table as Arrow has them, which takes little memory, and hands them on in large groups."""

    def __init__(self, write: Callable[[Any], None], arrow: Any, schema: Any) -> None:
        self._write = write
        self._arrow = arrow
        self._schema = schema
        self._batches: list[Any] = []

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows."""
        columns = zip(*rows, strict=True)
        arrays = [self._arrow.array(cells, field.type) for cells, field in zip(columns, self._schema, strict=True)]
        self._batches.append(self._arrow.record_batch(arrays, schema=self._schema))
        is_large = sum(batch.nbytes for batch in self._batches) >= _GROUP_BYTES
        if is_large or sum(batch.num_rows for batch in self._batches) >= _GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        """Hand on what is left."""
        if self._batches:
            self._write(self._arrow.Table.from_batches(self._batches).combine_chunks())
            self._batches = []


def _insert(database: Any, name: str, group: Any) -> None:
    database.register("rows_of_group", group)
    database.execute(f'INSERT INTO "{name}" SELECT * FROM rows_of_group')  # noqa: S608 - a fixed name
    database.unregister("rows_of_group")


def _schema(arrow: Any, table: Table) -> Any:
    return arrow.schema([(column.name, arrow.type_for_alias(_ARROW[column.kind])) for column in table.columns])
