"""Opens a manifest in whatever form it has, and checks the form."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from difflib import get_close_matches
from functools import partial
from hashlib import blake2b
from io import BufferedReader
from pathlib import Path
from typing import Literal

import orjson

from pipeline.config import ManifestConfig
from pipeline.errors import ManifestError
from pipeline.manifest.folder import folder_files
from pipeline.manifest.root import Root
from pipeline.manifest.rows import RowRules, rows_of_entries, rows_of_files
from pipeline.manifest.segments import Manifest
from pipeline.tabular.formats import Reader, json_lines, table, text_lines
from pipeline.tabular.line_reader import LineReader
from pipeline.tabular.text import COMPRESSIONS, StandardInput, as_text, open_text, physical_lines

# Goes up when the same lines are to be read differently: lines that earlier runs know are then read again.
_READING = 1
_JSON_LOOK_AHEAD = 20
_COLUMNS_SHOWN = 20
_STDIN = "-"

Format = Literal["csv", "tsv", "jsonl", "txt", "folder"]
_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "txt",
}
_SUPPORTED = "a folder, .csv, .tsv, .jsonl, .txt (each also .gz or .zst), or '-' for stdin"


def open_manifest(config: ManifestConfig, stdin: int = 0) -> Manifest:
    """Open a manifest and check its form before any row is read; `stdin` is the file descriptor behind "-".

    Raises ManifestError where it can't be read, its format is unknown, its root is no folder, or a column is missing.
    """
    form = _format(config)
    if form in {"txt", "folder"} and (config.carry or config.columns.model_fields_set):
        raise ManifestError(f"manifest.columns, manifest.carry: a {form} manifest has no columns; leave them out")
    root = Root(_root(config, form))
    rules = RowRules(columns=config.columns, root=root, carry=config.carry)
    top = os.fspath(root.path)
    if form == "folder":
        read_files = partial(rows_of_files, rules=rules)
        return Manifest(
            LineReader(folder_files(root, Path(config.path))), read_files, root=top, form=_digest([form, top])
        )
    with ExitStack() as opened:
        line_reader = LineReader(_lines(config.path, stdin, opened))
        header, reader = _reader(line_reader, form, config)
        read = partial(rows_of_entries, reader=reader, rules=rules)
        told = _digest([form, top, header, config.columns.model_dump(), config.carry])
        return Manifest(line_reader, read, root=top, form=told, close=opened.pop_all().close)


def _digest(told: list[object]) -> bytes:
    """Return 16 bytes for all beside the lines' text that decides what rows they are."""
    return blake2b(orjson.dumps([_READING, *told]), digest_size=16).digest()


def _format(config: ManifestConfig) -> Format:
    """Return the format that the config names, or the path's own."""
    path = Path(config.path)
    if config.path == _STDIN:
        return _stdin_format(config.format)
    if not path.exists():
        raise ManifestError(f"manifest.path: {path} doesn't exist")
    if config.format != "auto":
        return config.format
    if path.is_dir():
        return "folder"
    plain = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    found = _SUFFIXES.get(plain.suffix.lower())
    if found is None:
        raise ManifestError(f"manifest.path: {path} has no known format; give {_SUPPORTED}, or set manifest.format")
    return found


def _stdin_format(form: Format | Literal["auto"]) -> Format:
    if form == "folder":
        raise ManifestError('manifest.format: stdin is no folder; give "csv", "tsv", "jsonl" or "txt"')
    return "txt" if form == "auto" else form


def _root(config: ManifestConfig, form: Format) -> Path:
    if config.root is not None:
        return Path(config.root)
    if config.path == _STDIN:
        return Path()
    return Path(config.path) if form == "folder" else Path(config.path).parent


def _lines(path: str, stdin: int, opened: ExitStack) -> Iterator[str]:
    if path == _STDIN:
        source = StandardInput(stdin)
        opened.callback(source.stop)
        return physical_lines(as_text(BufferedReader(source)), "stdin")
    try:
        stream = opened.enter_context(open_text(Path(path)))
    except OSError as exc:
        raise ManifestError(f"manifest.path: {path} can't be read: {exc.strerror}") from exc
    return physical_lines(stream, path)


def _reader(line_reader: LineReader, form: Format, config: ManifestConfig) -> tuple[tuple[str, ...], Reader]:
    """Return the header (of a table) and what reads the lines of a format; check that the columns are there."""
    columns = config.columns
    if form == "txt":
        return (), partial(text_lines, column=columns.image)
    if form == "jsonl":
        _check_objects(line_reader, config)
        return (), json_lines
    header, reader = table(line_reader, "\t" if form == "tsv" else ",", config.path)
    _check_columns(header, config, {getattr(columns, field) for field in columns.model_fields_set})
    return header, reader


def _check_objects(line_reader: LineReader, config: ManifestConfig) -> None:
    """Check the first objects for the image's key; other keys may be absent from any line."""
    lines = line_reader.take(_JSON_LOOK_AHEAD)
    line_reader.put_back(lines)
    objects = [fields for _, fields in json_lines(LineReader(lines)) if isinstance(fields, Mapping)]
    if keys := dict.fromkeys(key for fields in objects for key in fields):
        _check_columns(list(keys), config.model_copy(update={"carry": ()}), set())


def _check_columns(header: Sequence[str], config: ManifestConfig, named: set[str]) -> None:
    """Raise ManifestError where the image, a named or a carried column is missing, or one that is read stands twice."""
    wanted = list(dict.fromkeys([config.columns.image, *sorted(named), *config.carry]))
    read = dict.fromkeys([*wanted, *config.columns.model_dump().values()])
    problems = [f"there is no column {name!r}{_suggestion(name, header)}" for name in wanted if name not in header]
    problems += [f"the column {name!r} stands in the header twice" for name in read if header.count(name) > 1]
    if problems:
        raise ManifestError(f"{config.path}: {'; '.join(problems)} (see manifest.columns and manifest.carry)")


def _suggestion(name: str, header: Sequence[str]) -> str:
    close = get_close_matches(name, header, n=1)
    shown = ", ".join(repr(column) for column in header[:_COLUMNS_SHOWN])
    return f", did you mean {close[0]!r}?" if close else f", only {shown}"
