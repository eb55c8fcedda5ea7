"""Opens a manifest in whatever form it has, and gives its rows one after another, or in batches from a thread."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from difflib import get_close_matches
from io import BufferedReader
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from anyio import CapacityLimiter, to_thread

from pipeline.config import ManifestConfig
from pipeline.errors import ManifestError
from pipeline.manifest.folder import folder_files
from pipeline.manifest.formats import Entry, json_lines, table, text_lines
from pipeline.manifest.lines import COMPRESSIONS, StandardInput, as_text, open_text, physical_lines
from pipeline.manifest.root import Root
from pipeline.manifest.rows import RowRules, rows_of_entries, rows_of_files
from pipeline.records import Failure, Row

BATCH_ROWS = 500
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


class Manifest:
    """An open source of rows, read once from front to end; close it, or use it as a context manager."""

    def __init__(self, rows: Iterable[Row | Failure], close: Callable[[], None] = lambda: None) -> None:
        self._rows = iter(rows)
        self._close = close

    def rows(self) -> Iterator[Row | Failure]:
        """Return the rows that are left, lazily; raises ManifestError where the manifest can't be read on."""
        return self._rows

    def close(self) -> None:
        """Close what is open below; a read that waits for stdin ends."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def batches(manifest: Manifest, size: int = BATCH_ROWS) -> AsyncGenerator[list[Row | Failure], None]:
    """Yield up to `size` rows at a time, read in a worker thread; nothing is read before it is asked for.

    A cancelled wait gives up its thread: close the manifest then, or a read from stdin goes on.
    """
    rows, limiter = manifest.rows(), CapacityLimiter(1)
    while batch := await to_thread.run_sync(lambda: list(islice(rows, size)), limiter=limiter, abandon_on_cancel=True):
        yield batch


def open_manifest(config: ManifestConfig, stdin: int = 0) -> Manifest:
    """Open a manifest and check its form before any row is read; `stdin` is the file descriptor behind "-".

    Raises ManifestError where it can't be read, its format is unknown, its root is no folder, or a column is missing.
    """
    form = _format(config)
    if form in {"txt", "folder"} and (config.carry or config.columns.model_fields_set):
        raise ManifestError(f"manifest.columns, manifest.carry: a {form} manifest has no columns; leave them out")
    root = Root(_root(config, form))
    rules = RowRules(columns=config.columns, root=root, carry=config.carry)
    if form == "folder":
        return Manifest(rows_of_files(folder_files(root, Path(config.path)), rules))
    with ExitStack() as opened:
        entries = _entries(_lines(config.path, stdin, opened), form, config)
        return Manifest(rows_of_entries(entries, rules), opened.pop_all().close)


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


def _entries(lines: Iterator[str], form: Format, config: ManifestConfig) -> Iterator[Entry]:
    """Read the lines by format, and check that the columns are there."""
    columns = config.columns
    if form == "txt":
        return text_lines(lines, columns.image)
    if form == "jsonl":
        return _checked_objects(json_lines(lines), config)
    header, entries = table(lines, "\t" if form == "tsv" else ",", config.path)
    _check_columns(header, config, {getattr(columns, field) for field in columns.model_fields_set})
    return entries


def _checked_objects(entries: Iterator[Entry], config: ManifestConfig) -> Iterator[Entry]:
    """Check the first objects for the image's key; other keys may be absent from any line."""
    first = list(islice(entries, _JSON_LOOK_AHEAD))
    keys = dict.fromkeys(key for _, fields in first if isinstance(fields, Mapping) for key in fields)
    if keys:
        _check_columns(list(keys), config.model_copy(update={"carry": ()}), set())
    return chain(first, entries)


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
