"""Which format a table has. It is decided here and nowhere else, from the settings and the path.

What only its content says, the encoding and the delimiter, is filled in when it is opened (tables.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Final, Literal

from pipeline.errors import TableError
from pipeline.tabular.compression import COMPRESSIONS
from pipeline.tabular.location import look_at

FormatName = Literal["csv", "tsv", "jsonl", "txt", "parquet", "zip", "tar", "folder"]
AUTO: Final = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFile:
    """A file or folder as the settings name it; `section` holds these settings, and messages name it."""

    path: str
    section: str
    format: FormatName | Literal["auto"] = "auto"
    delimiter: str = AUTO
    encoding: str = AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFormat:
    """How a table is read: `delimiter` matters to csv only, `encoding` to tables of text."""

    kind: Literal["csv", "jsonl", "txt", "parquet", "archive", "folder"]
    delimiter: str = ","
    encoding: str = "utf-8"


FORMATS: Mapping[FormatName, TableFormat] = {
    "csv": TableFormat(kind="csv"),
    "tsv": TableFormat(kind="csv", delimiter="\t"),
    "jsonl": TableFormat(kind="jsonl"),
    "txt": TableFormat(kind="txt"),
    "parquet": TableFormat(kind="parquet"),
    "zip": TableFormat(kind="archive"),
    "tar": TableFormat(kind="archive"),
    "folder": TableFormat(kind="folder"),
}
_SUFFIXES: Mapping[str, FormatName] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "txt",
    ".parquet": "parquet",
    ".zip": "zip",
    ".tar": "tar",
    ".tgz": "tar",
}
# What is compressed inside, or read in any order, is not read through another compression.
_NOT_PACKED = {".parquet": COMPRESSIONS, ".zip": COMPRESSIONS, ".tgz": COMPRESSIONS, ".tar": (".zst",)}
_SUPPORTED = "a folder, .csv, .tsv, .jsonl or .txt (each also .gz or .zst), .parquet, .zip or .tar (also .gz)"
# What to do with files that are often given.
_WAYS_OUT: Mapping[str, str] = {
    ".json": "write each object of a JSON array in a line of its own: jq -c '.[]' {path} > rows.jsonl",
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods", ".numbers"), 'save the spreadsheet as "CSV UTF-8"'),
    **dict.fromkeys((".jpg", ".jpeg", ".png", ".gif", ".webp"), "give the folder that holds the picture"),
}


def find_format(file: TableFile) -> TableFormat:
    """Return the format that the settings name, or else the path's own.

    Raises TableError where the path doesn't exist, or neither the settings nor the path say what it is.
    """
    is_folder = _is_folder(file)
    if file.format == AUTO and is_folder:
        return FORMATS["folder"]
    name = format_name(file)
    if name is None:
        raise TableError(f"{file.section}.path: {_unknown(file)}")
    return with_settings(FORMATS[name], file)


def format_name(file: TableFile) -> FormatName | None:
    """Return the format that the settings or the name of a file say; None for an unknown one."""
    if file.format != AUTO:
        return file.format
    inner, suffix = _suffixes(file)
    is_readable = suffix in COMPRESSIONS and suffix not in _NOT_PACKED.get(inner, ())
    return _SUFFIXES.get(inner) if inner == suffix or is_readable else None


def _suffixes(file: TableFile) -> tuple[str, str]:
    """Return the suffix before that of a compression, and the last one."""
    path = PurePath(file.path)
    suffix = path.suffix.lower()
    return (path.with_suffix("").suffix.lower() if suffix in COMPRESSIONS else suffix), suffix


def with_settings(table_format: TableFormat, file: TableFile) -> TableFormat:
    """Return a format with the delimiter and the encoding that the settings name, if they do."""
    return replace(
        table_format,
        delimiter=table_format.delimiter if file.delimiter == AUTO else file.delimiter,
        encoding=table_format.encoding if file.encoding == AUTO else file.encoding,
    )


def _unknown(file: TableFile) -> str:
    way_out = _WAYS_OUT.get(_suffixes(file)[0], f"give {_SUPPORTED}").format(path=file.path)
    return f"{file.path} has no known format; {way_out}, or set {file.section}.format"


def _is_folder(file: TableFile) -> bool:
    try:
        return look_at(file.path).is_folder
    except FileNotFoundError:
        raise TableError(f"{file.section}.path: {file.path} doesn't exist") from None
    except OSError as exc:
        raise TableError(f"{file.section}.path: {file.path} can't be read: {exc.strerror}") from exc
