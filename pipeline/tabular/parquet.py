"""Reads a Parquet file as lines of JSON, one for each row, in flat memory: so the parser of JSON lines reads it too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import orjson

from pipeline.errors import TableError
from pipeline.tabular.columns import WantedColumns, check_columns, find_aliases
from pipeline.tabular.formats import TableFile
from pipeline.tabular.location import is_cloud, open_location
from pipeline.wording import counted

_BATCH_ROWS = 1000
# So a column of a million rows is read piece by piece, and not whole.
_BUFFER_BYTES = 1 << 16


class ParquetRows:
    """The rows of a Parquet file, as far as their columns are wanted; `header` names all of its columns.

    Raises TableError where the package pyarrow is missing, the file can't be read, or a column is missing.
    """

    def __init__(self, file: TableFile, columns: WantedColumns) -> None:
        self._place = file.path
        self._arrow = _pyarrow(file)
        # What reading a damaged file may raise: pyarrow decodes names and makes values of Python by the way.
        self._damaged = (OSError, ValueError, OverflowError, self._arrow.ArrowException)
        reader = import_module("pyarrow.parquet").ParquetFile
        try:
            source = open_location(file.path) if is_cloud(file.path) else file.path
            self._file = reader(source, buffer_size=_BUFFER_BYTES, pre_buffer=False)
            schema = self._file.schema_arrow
            self.header: tuple[str, ...] = tuple(schema.names)
        except self._damaged as exc:
            raise TableError(f"{file.section}.path: {file.path} can't be read: {exc}") from exc
        check_columns(self.header, columns, file.path)
        aliases = find_aliases(self.header, columns.names)
        wanted = {aliases.get(name, name) for name in columns.names}
        self._names = [name for name in self.header if name in wanted]
        self._check_image(schema.field(aliases.get(columns.image, columns.image)))

    def lines(self) -> Iterator[str]:
        """Yield a line of JSON for each row; raises TableError where the file can't be read on."""
        count = 0
        try:
            for batch in self._file.iter_batches(_BATCH_ROWS, columns=self._names, use_threads=False):
                values = [self._values(column) for column in batch.columns]
                for row in zip(*values, strict=True):
                    count += 1
                    yield _line(batch.schema.names, row)
        except self._damaged as exc:
            raise TableError(f"{self._place}: can't be read on after {counted(count, 'row')}: {exc}") from exc

    def close(self) -> None:
        """Close the file."""
        self._file.close(force=True)

    def _check_image(self, column: Any) -> None:
        """Refuse a column that holds the pictures themselves."""
        if self._arrow.types.is_nested(column.type) and not self._arrow.types.is_list(column.type):
            problem = f"the column {column.name!r} holds {column.type}; paths, URLs or tokens are read"
            raise TableError(f"{self._place}: {problem}")

    def _values(self, column: Any) -> list[Any]:
        """Return a column's values as JSON has them; what JSON has no form for is text.

        Bytes that are no UTF-8 become lone surrogates, as in every other table, so that only their own row fails.
        """
        types = self._arrow.types
        if types.is_temporal(column.type) or types.is_decimal(column.type):
            column = column.cast(self._arrow.string())
        values: list[Any]
        try:
            values = column.to_pylist()
        except UnicodeDecodeError:
            values = [_decoded(scalar) for scalar in column]
        return values


def _decoded(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError as exc:
        return exc.object.decode("utf-8", "surrogateescape")


def _line(names: Sequence[str], row: Sequence[Any]) -> str:
    fields = dict(zip(names, row, strict=True))
    try:
        return orjson.dumps(fields, default=_text, option=orjson.OPT_APPEND_NEWLINE).decode()
    except orjson.JSONEncodeError:  # lone surrogates, or an integer of more than 64 bits
        return json.dumps(fields, default=_text, ensure_ascii=False) + "\n"


def _text(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _pyarrow(file: TableFile) -> Any:
    try:
        return import_module("pyarrow")
    except ImportError as exc:
        needs = f'{file.path} can\'t be read without the package pyarrow; install the extra "parquet"'
        raise TableError(f"{file.section}.path: {needs}") from exc
