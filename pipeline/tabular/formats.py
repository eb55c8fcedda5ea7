"""Which format a table has. It is decided here and nowhere else, from the settings and the path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.errors import TableError
from pipeline.tabular.compression import COMPRESSIONS

FormatName = Literal["csv", "tsv", "jsonl", "txt", "folder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFile:
    """A file or folder as the settings name it; `section` holds these settings, and messages name it."""

    path: str
    section: str
    format: FormatName | Literal["auto"] = "auto"


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


def find_format(file: TableFile) -> TableFormat:
    """Return the format that the settings name, or else the path's own.

    Raises TableError where the path doesn't exist, or neither the settings nor the path say what it is.
    """
    path = Path(file.path)
    _check_exists(path, file)
    if file.format != "auto":
        return FORMATS[file.format]
    if path.is_dir():
        return FORMATS["folder"]
    plain = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    name = _SUFFIXES.get(plain.suffix.lower())
    if name is None:
        problem = f"{file.path} has no known format; give {_SUPPORTED}, or set {file.section}.format"
        raise TableError(f"{file.section}.path: {problem}")
    return FORMATS[name]


def _check_exists(path: Path, file: TableFile) -> None:
    try:
        path.stat()
    except FileNotFoundError:
        raise TableError(f"{file.section}.path: {file.path} doesn't exist") from None
    except OSError as exc:
        raise TableError(f"{file.section}.path: {file.path} can't be read: {exc.strerror}") from exc
