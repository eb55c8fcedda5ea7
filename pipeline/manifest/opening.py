"""Opens a manifest in any form it may have: a table, a folder of pictures, or stdin."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial
from hashlib import blake2b
from itertools import chain, islice

import orjson

from pipeline.config import ManifestConfig
from pipeline.errors import ConfigError, TableError
from pipeline.manifest.rows import RowRules, listed_rows, table_rows
from pipeline.manifest.segments import Manifest
from pipeline.records import ArchiveMember, Row
from pipeline.tabular.archive import Members
from pipeline.tabular.cells import Naming
from pipeline.tabular.columns import WantedColumns
from pipeline.tabular.folder import list_pictures, list_stored_pictures
from pipeline.tabular.formats import FORMATS, TableFile, TableFormat, find_format, with_settings
from pipeline.tabular.line_reader import LineReader
from pipeline.tabular.listing import Listed
from pipeline.tabular.location import is_cloud, local_path
from pipeline.tabular.root import CloudRoot, Root, open_root
from pipeline.tabular.tables import open_table
from pipeline.wording import counted

# Goes up when the same lines are to be read differently: lines that earlier runs know are then parsed again.
_READING_VERSION = 2
_SECTION = "manifest"
_KEYS_OF_TABLES = ("columns", "carry", "split", "skip_without_image")
STDIN = "-"


def open_manifest(config: ManifestConfig, stdin: int = 0) -> Manifest:
    """Open a manifest and check it before any row is read; `stdin` is the file descriptor that "-" stands for.

    Raises TableError where it can't be read, its format is unknown, its root is no folder, a column is missing, or it
    has fewer rows than it must, and ConfigError where columns are configured for a manifest that has none.
    """
    manifest = _open(config, stdin)
    if not config.min_rows:
        return manifest
    with ExitStack() as opened:
        opened.callback(manifest.close)
        _check_rows(_rows_at_least(config, manifest), config)
        opened.pop_all()
    return manifest


def _rows_at_least(config: ManifestConfig, manifest: Manifest) -> int:
    """Return how many rows there are, as far as that matters: a file is read twice, stdin is held in memory."""
    if config.path == STDIN:
        return manifest.look_ahead(config.min_rows)
    with _open(config) as twin:
        return sum(1 for _ in islice((row for row in twin.rows() if isinstance(row, Row)), config.min_rows))


def _check_rows(rows: int, config: ManifestConfig) -> None:
    if rows < config.min_rows:
        where = "stdin" if config.path == STDIN else config.path
        only = f"{where} has {counted(rows, 'row')} that can be done"
        raise TableError(f"manifest.min_rows: {only}, and there must be {config.min_rows} at least")


def _open(config: ManifestConfig, stdin: int = 0) -> Manifest:
    file = _file(config)
    table_format = _stdin_format(file) if config.path == STDIN else find_format(file)
    _check_keys(config, table_format)
    if table_format.kind == "archive":
        return _open_archive(file, table_format)
    rules = _rules(config, open_root(_root(config, file, table_format), _SECTION))
    if table_format.kind == "folder":
        return _open_folder(file, table_format, rules)
    return _open_table(file, table_format, rules, config, stdin if config.path == STDIN else None)


def _rules(config: ManifestConfig, root: Root | CloudRoot) -> RowRules:
    naming = Naming(
        ids=config.columns.id, image=config.columns.image, split=config.split, skips=config.skip_without_image
    )
    return RowRules(columns=config.columns, root=root, carry=config.carry, naming=naming)


def _check_keys(config: ManifestConfig, table_format: TableFormat) -> None:
    """Raise ConfigError where there are keys of tables for a manifest that is none."""
    keys = {
        "csv": (),
        "jsonl": ("delimiter",),
        "parquet": ("delimiter", "encoding"),
        "txt": ("delimiter", *_KEYS_OF_TABLES),
    }
    wrong = keys.get(table_format.kind, ("delimiter", "encoding", *_KEYS_OF_TABLES))
    given = [f"manifest.{key}" for key in wrong if getattr(config, key) != ManifestConfig.model_fields[key].default]
    if given:
        problem = f"a manifest of the format {table_format.kind} has none; leave it out, or set manifest.format"
        raise ConfigError(", ".join(given), [problem])


def _stdin_format(file: TableFile) -> TableFormat:
    if file.format in {"folder", "parquet", "zip", "tar"}:
        what = {"folder": "a folder", "parquet": "a Parquet file"}.get(file.format, "an archive")
        raise TableError(f'manifest.format: stdin is not {what}; give "csv", "tsv", "jsonl" or "txt"')
    return with_settings(FORMATS["txt" if file.format == "auto" else file.format], file)


def _root(config: ManifestConfig, file: TableFile, table_format: TableFormat) -> str:
    """Return the folder that relative paths start from: the one that is set, or else that of the manifest."""
    if config.root is not None:
        return local_path(config.root)
    if config.path == STDIN:
        return "."
    return file.path if table_format.kind == "folder" else os.path.dirname(file.path) or "."  # noqa: PTH120 - also of URLs


def picture_folder(config: ManifestConfig) -> str | None:
    """Return the local folder that the paths of pictures start from, None where they are not files of their own.

    Raises TableError where the format of the manifest can't be found out.
    """
    if not config.path or is_cloud(config.root or config.path):
        return None
    file = _file(config)
    table_format = _stdin_format(file) if config.path == STDIN else find_format(file)
    return None if table_format.kind == "archive" else _root(config, file, table_format)


def _file(config: ManifestConfig) -> TableFile:
    return TableFile(
        path=local_path(config.path),
        section=_SECTION,
        format=config.format,
        delimiter=config.delimiter,
        encoding=config.encoding,
    )


def _open_folder(file: TableFile, table_format: TableFormat, rules: RowRules) -> Manifest:
    root = rules.root
    if is_cloud(file.path) != isinstance(root, CloudRoot):
        raise TableError(f"{_SECTION}.path: the folder {file.path} is outside {_SECTION}.root")
    lines = list_pictures(file, root.path) if isinstance(root, Root) else list_stored_pictures(file, root.path)
    return Manifest(
        LineReader(lines),
        partial(listed_rows, picture=lambda listed: rules.picture(listed.name, listed.stamp), where="folder"),
        root=os.fspath(root.path),
        reading=_reading_digest(table_format, rules),
    )


def _open_archive(file: TableFile, table_format: TableFormat) -> Manifest:
    archive = file.path if is_cloud(file.path) else os.path.realpath(file.path)
    members = Members(file)

    def picture(listed: Listed) -> ArchiveMember:
        return ArchiveMember(archive=archive, name=listed.name, place=listed.place, stamp=listed.stamp)

    return Manifest(
        LineReader(members.lines()),
        partial(listed_rows, picture=picture, where="archive"),
        reading=blake2b(orjson.dumps([_READING_VERSION, table_format, archive]), digest_size=16).digest(),
        close=members.close,
    )


def _open_table(
    file: TableFile, table_format: TableFormat, rules: RowRules, config: ManifestConfig, stdin: int | None
) -> Manifest:
    table = open_table(file, table_format, _wanted_columns(config), stdin=stdin)
    return Manifest(
        table.lines,
        partial(table_rows, parse=table.parse, rules=rules),
        root=os.fspath(rules.root.path),
        reading=_reading_digest(table.format, rules, table.header),
        notes=table.notes,
        close=table.close,
    )


def _wanted_columns(config: ManifestConfig) -> WantedColumns:
    """Return the columns to check for: those that the config names, and the carried ones, must be in the table."""
    columns, names = config.columns, config.columns.names()
    required = [name for kind in sorted(columns.model_fields_set) for name in names[kind]]
    return WantedColumns(
        image=columns.image,
        ids=columns.id,
        required=(*required, *config.carry),
        optional=tuple(chain.from_iterable(names.values())),
        hinted={f"manifest.columns.{kind}": given[0] for kind, given in names.items()},
        settings="manifest.columns and manifest.carry",
    )


def _reading_digest(table_format: TableFormat, rules: RowRules, header: tuple[str, ...] = ()) -> bytes:
    """Return 16 bytes for everything beside the lines' text that decides what rows they are."""
    columns = rules.columns.model_dump()
    parts = [_READING_VERSION, table_format, os.fspath(rules.root.path), header, columns, rules.carry, rules.naming]
    return blake2b(orjson.dumps(parts), digest_size=16).digest()
