"""Which format a table has. It is decided here and nowhere else, from the settings and the path.

What only its content says, the encoding and the delimiter, is filled in when it is opened (tables.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from pipeline.errors import TableError
from pipeline.tabular.compression import COMPRESSIONS

FormatName = Literal["csv", "tsv", "jsonl", "txt", "folder"]
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
    """How a table is read: `delimiter` matters to csv only, `encoding` to all but folders."""

    kind: Literal["csv", "jsonl", "txt", "folder"]
    delimiter: str = ","
    encoding: str = "utf-8"


FORMATS: Mapping[FormatName, TableFormat] = {
    "csv": TableFormat(kind="csv"),
    "tsv": TableFormat(kind="csv", delimiter="\t"),
    "jsonl": TableFormat(kind="jsonl"),
    "txt": TableFormat(kind="txt"),
    "folder": TableFormat(kind="folder"),
}
_SUFFIXES: Mapping[str, FormatName] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "txt",
}
_SUPPORTED = "a folder, .csv, .tsv, .jsonl or .txt (each also .gz or .zst)"
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
    path = Path(file.path)
    _check_exists(path, file)
    if file.format != AUTO:
        return with_settings(FORMATS[file.format], file)
    if path.is_dir():
        return FORMATS["folder"]
    plain = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    name = _SUFFIXES.get(plain.suffix.lower())
    if name is None:
        raise TableError(f"{file.section}.path: {_unknown(file, plain.suffix.lower())}")
    return with_settings(FORMATS[name], file)


def with_settings(table_format: TableFormat, file: TableFile) -> TableFormat:
    """Return a format with the delimiter and the encoding that the settings name, if they do."""
    return replace(
        table_format,
        delimiter=table_format.delimiter if file.delimiter == AUTO else file.delimiter,
        encoding=table_format.encoding if file.encoding == AUTO else file.encoding,
    )


def _unknown(file: TableFile, suffix: str) -> str:
    way_out = _WAYS_OUT.get(suffix, f"give {_SUPPORTED}").format(path=file.path)
    return f"{file.path} has no known format; {way_out}, or set {file.section}.format"


def _check_exists(path: Path, file: TableFile) -> None:
    try:
        path.stat()
    except FileNotFoundError:
        raise TableError(f"{file.section}.path: {file.path} doesn't exist") from None
    except OSError as exc:
        raise TableError(f"{file.section}.path: {file.path} can't be read: {exc.strerror}") from exc
