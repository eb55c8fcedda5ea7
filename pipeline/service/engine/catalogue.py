"""Reads the user's catalogue for the index: csv, tsv, jsonl, txt (each also .gz or .zst) or a folder, row by row."""

from __future__ import annotations

import csv
import io
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import orjson
import zstandard

from pipeline.errors import ManifestError
from pipeline.service.engine.pictures import looks_like_picture
from pipeline.service.engine.unpack import unpacked
from pipeline.service.findings import CatalogueConfig

FIELDS = (
    "id", "image", "title", "description", "page_url", "content_url", "seller", "seller_image_url", "price", "currency",
    "availability", "rating", "rating_best", "reviews", "updated", "tags", "category", "published", "creator",
    "cook_time", "prep_time", "total_time",
)  # fmt: skip
_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "txt"}

_UNREADABLE = (OSError, EOFError, zlib.error, zstandard.ZstdError, csv.Error)

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row as text: `fields` holds the known columns that aren't empty, `id` and `image` always among them.

    `file` is the picture on disk, None where the row points elsewhere; `problem` says why a row has no usable picture.
    Where `is_row` is false the catalogue can't be read on, and this is the last entry.
    """

    line: int
    fields: Fields
    file: Path | None = None
    problem: str | None = None
    is_row: bool = True


def read_entries(config: CatalogueConfig) -> Iterator[Entry]:
    """Yield the catalogue's rows in order, lazily; raises ManifestError where it can't be read or lacks a column.

    Of a file that is cut off or damaged, the rows before that place are yielded, and last an entry that says so.
    """
    if unknown := set(config.columns) - set(FIELDS):
        raise ManifestError(f"unknown catalogue field {min(unknown)!r}; known are: {', '.join(FIELDS)}")
    kind = _format(config)
    root = (config.root or (config.path if kind == "folder" else config.path.parent)).resolve()
    line = 0
    try:
        for line, fields in _folder(config.path) if kind == "folder" else _rows(config, kind):
            yield _entry(line, fields, root)
    except _UNREADABLE as exc:
        problem = f"the catalogue can't be read{f' on after line {line}' if line else ''}: {exc}"
        if not line or config.whole:
            raise ManifestError(f"{config.path}: {problem}") from exc
        yield Entry(line=line + 1, fields={"id": "", "image": ""}, problem=problem, is_row=False)


def _format(config: CatalogueConfig) -> str:
    if config.format != "auto":
        return config.format
    if config.path.is_dir():
        return "folder"
    name = config.path.name.removesuffix(".gz").removesuffix(".zst")
    kind = _SUFFIXES.get(Path(name).suffix.lower())
    if kind is None:
        raise ManifestError(f"{config.path}: unknown kind of catalogue; use .csv, .tsv, .jsonl, .txt or a folder")
    return kind


def _entry(line: int, fields: Fields, root: Path) -> Entry:
    image = fields.get("image", "")
    named = {**fields, "id": fields.get("id") or image, "image": image}
    if not image:
        return Entry(line=line, fields=named, problem="the row names no image")
    if image.startswith("token:"):
        return Entry(line=line, fields=named)
    if image.startswith(("http://", "https://")):
        return Entry(line=line, fields={"content_url": image, **named})
    file, problem = _inside(root, image)
    return Entry(line=line, fields=named, file=file, problem=problem)


def _inside(root: Path, image: str) -> tuple[Path | None, str | None]:
    """Resolve a relative path, symlinks included; what leads out of the root is not opened."""
    try:
        file = (root / image).resolve()
        str(file).encode()  # a link may lead to a name that is no text
    except (OSError, ValueError, RuntimeError):
        return None, "the path can't be resolved"
    if not file.is_relative_to(root):
        return None, "the path leads out of the catalogue's root"
    return file, None


def _folder(path: Path) -> Iterator[tuple[int, Fields]]:
    if not path.is_dir():
        raise ManifestError(f"{path}: there is no such folder")
    line = 0
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            if not name.startswith(".") and _is_picture(file):
                line += 1
                # A name that is no UTF-8 is kept as far as it is: its row alone has no picture then.
                yield line, {"image": os.fsencode(file.relative_to(path).as_posix()).decode(errors="replace")}


def _is_picture(file: Path) -> bool:
    try:
        if not file.is_file():  # opening a pipe would wait for its other end
            return False
        with file.open("rb") as stream:
            return looks_like_picture(stream.read(32))
    except OSError:
        return False


def _rows(config: CatalogueConfig, kind: str) -> Iterator[tuple[int, Fields]]:
    with _text(config.path) as stream:
        if kind == "txt":
            yield from _text_rows(stream)
        elif kind == "jsonl":
            yield from _json_rows(stream, config.columns)
        else:
            yield from _table_rows(stream, config, "excel-tab" if kind == "tsv" else "excel")


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    # A line that is not UTF-8 spoils its own row alone.
    with (
        path.open("rb") as raw,
        io.TextIOWrapper(unpacked(raw, path), encoding="utf-8-sig", errors="replace", newline="") as text,
    ):
        yield text


def _text_rows(stream: TextIO) -> Iterator[tuple[int, Fields]]:
    for line, text in enumerate(stream, start=1):
        if text.strip():
            yield line, {"image": text.strip()}


def _json_rows(stream: TextIO, columns: Mapping[str, str]) -> Iterator[tuple[int, Fields]]:
    for line, text in enumerate(stream, start=1):
        if text.strip():
            try:
                row = orjson.loads(text)
            except orjson.JSONDecodeError:
                row = None
            yield line, _known(row if isinstance(row, dict) else {}, columns)


def _table_rows(stream: TextIO, config: CatalogueConfig, dialect: str) -> Iterator[tuple[int, Fields]]:
    reader = csv.DictReader(stream, dialect=dialect)
    header = reader.fieldnames or ()
    for column in {**config.columns, "image": config.columns.get("image", "image")}.values():
        if column not in header:
            raise ManifestError(f"{config.path}: there is no column {column!r}; there are: {', '.join(header)}")
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:  # a field that is too long, a NUL byte: it spoils its own row alone
            row = {}
        yield reader.line_num, _known(row, config.columns)


def _known(row: Mapping[str | None, object], columns: Mapping[str, str]) -> Fields:
    """Pick the known columns as stripped text; a list (tags in JSON) is joined."""
    found: dict[str, str] = {}
    for name in FIELDS:
        value = row.get(columns.get(name, name))
        if isinstance(value, list):
            value = "|".join(str(part) for part in value)
        if value is not None and not isinstance(value, dict) and (text := str(value).strip()):
            found[name] = text
    return found
