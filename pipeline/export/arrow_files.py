"""Writes tables through Arrow: Parquet, a file for each table, and a DuckDB database with all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import OutputError
from pipeline.export.columns import Kind
from pipeline.export.new_file import new_file
from pipeline.export.tables import Row, Table
from pipeline.export.writer import Write, package, table_path

_ARROW: dict[Kind, str] = {"text": "string", "integer": "int64", "number": "double", "boolean": "bool"}
_SQL: dict[Kind, str] = {"text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN"}
_DUCKDB = {"memory_limit": "256MB", "threads": 1}


@contextmanager
def parquet_files(path: Path, tables: Sequence[Table]) -> Iterator[Write]:
    """Write Parquet, compressed with zstd."""
    arrow, parquet = package("pyarrow", path), package("pyarrow.parquet", path)
    schemas = {table.name: _schema(arrow, table) for table in tables}
    with ExitStack() as opened:
        writers = {}
        for table in tables:
            temporary = opened.enter_context(new_file(table_path(path, table)))
            writer = parquet.ParquetWriter(temporary, schemas[table.name], compression="zstd")
            writers[table.name] = opened.enter_context(writer)

        def write(table: Table, rows: Sequence[Row]) -> None:
            writers[table.name].write_batch(_batch(arrow, schemas[table.name], rows))

        yield write


@contextmanager
def duckdb_file(path: Path, tables: Sequence[Table]) -> Iterator[Write]:
    """Write one database with a table for each."""
    arrow, duckdb = package("pyarrow", path), package("duckdb", path)
    schemas = {table.name: _schema(arrow, table) for table in tables}
    with new_file(path) as temporary:
        try:
            with closing(duckdb.connect(str(temporary), config=_DUCKDB)) as database:
                for table in tables:
                    columns = ", ".join(f'"{column.name}" {_SQL[column.kind]}' for column in table.columns)
                    database.execute(f'CREATE TABLE "{table.name}" ({columns})')

                def write(table: Table, rows: Sequence[Row]) -> None:
                    batch = arrow.Table.from_batches([_batch(arrow, schemas[table.name], rows)])
                    database.register("batch", batch)
                    database.execute(f'INSERT INTO "{table.name}" SELECT * FROM batch')  # noqa: S608 - a fixed name
                    database.unregister("batch")

                yield write
        except duckdb.Error as exc:
            raise OutputError(f"{path} can't be written ({exc}); make room or choose another place") from exc


def _schema(arrow: Any, table: Table) -> Any:
    return arrow.schema([(column.name, arrow.type_for_alias(_ARROW[column.kind])) for column in table.columns])


def _batch(arrow: Any, schema: Any, rows: Sequence[Row]) -> Any:
    columns = zip(*rows, strict=True)
    arrays = [arrow.array(cells, field.type) for cells, field in zip(columns, schema, strict=True)]
    return arrow.record_batch(arrays, schema=schema)
