"""Builds the index of a catalogue: in parallel, resumable after a kill, replaced in one step, one builder at a time."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import orjson

from pipeline.errors import OutputError, ServiceError
from pipeline.guards.private_files import PRIVATE_FOLDER, make_private_folder, open_private
from pipeline.service.engine.analysis import ALGORITHM, Analysis, analyse, read_file
from pipeline.service.engine.arrays import write_arrays
from pipeline.service.engine.build_lock import hold_build_lock
from pipeline.service.engine.catalogue import Entry, read_entries
from pipeline.service.engine.color import Floats
from pipeline.service.engine.embedding import Embedder
from pipeline.service.engine.index import (
    CURRENT,
    DATABASE,
    KEYS,
    SCHEMA,
    CatalogueIndex,
    connect,
    open_current,
)
from pipeline.service.engine.staging import Staging
from pipeline.service.findings import BadPicture, CatalogueConfig

log = logging.getLogger("pipeline.service")
Progress = Callable[[int, int], None]
FileStamp = tuple[str, int, int]
# Rows queued for each worker: enough to keep it busy, few enough for flat memory.
QUEUED_PER_WORKER = 8
COMMIT_EVERY = 32
# The file that lists the rows without a usable picture for the user: one JSON object per line.
SKIPPED = "skipped.jsonl"
DUPLICATE_ID = "another row has this id"
STAGING = f"staging-{ALGORITHM}.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """The result for one row: its picture's `sha256`, its `analysis` and `embedding` if they are new, or a `problem`.

    `stamp` is path, size and time of the picture's file.
    """

    entry: Entry
    stamp: FileStamp | None = None
    sha256: str | None = None
    analysis: Analysis | None = None
    embedding: Floats | None = None
    problem: str | None = None


def build_index(
    config: CatalogueConfig, index_dir: Path, progress: Progress | None = None, *, embedder: Embedder | None = None
) -> CatalogueIndex:
    """Return an up-to-date index of the catalogue, reusing everything that earlier builds have computed.

    A new model costs new embeddings and nothing else. `progress` is called with (rows done, rows in total) at every
    step: while the rows are counted, none is done; when all are done, the arrays are written. Raises TableError, and
    ServiceError if `index_dir` can't be written or the model fails.
    """
    try:
        make_private_folder(index_dir)
        counter = _RowCounter(progress)
        with hold_build_lock(index_dir, counter.report):
            fingerprint = _fingerprint(config, embedder, counter)
            previous = open_current(index_dir)
            if previous is not None and previous.meta["fingerprint"] == fingerprint:
                return previous
            return _rebuild(config, index_dir, previous, counter, embedder)
    except (OSError, OutputError, sqlite3.Error) as exc:
        raise ServiceError(f"{index_dir}: the index can't be written ({exc})") from exc


class _RowCounter:
    """Counts the rows, in total and done, and reports them."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._total, self._done = progress, 0, 0

    def add_row(self) -> None:
        self._total += 1
        self.report()

    def finish_row(self) -> None:
        self._done += 1
        self.report()

    def report(self) -> None:
        if self._progress is not None:
            self._progress(self._done, max(self._total, self._done))


def _stamp(entry: Entry) -> FileStamp | None:
    try:
        status = entry.file.stat() if entry.file is not None else None
    except OSError:
        return None
    return (str(entry.file), status.st_size, status.st_mtime_ns) if status is not None else None


def _row_bytes(entry: Entry, stamp: FileStamp | None) -> bytes:
    """Return what the fingerprint covers of one row."""
    return orjson.dumps((entry.line, entry.fields, entry.problem, stamp)) + b"\n"


def _algorithm(embedder: Embedder | None) -> bytes:
    """Return what the numbers of an index depend on besides the catalogue."""
    return (ALGORITHM + (embedder.key if embedder else "")).encode()


def _fingerprint(config: CatalogueConfig, embedder: Embedder | None, counter: _RowCounter) -> str:
    """Count the rows, and return a digest of them and of the sizes and times of their files."""
    digest = sha256(_algorithm(embedder))
    for entry in read_entries(config):
        digest.update(_row_bytes(entry, _stamp(entry)))
        counter.add_row()
        if entry.is_cut:
            log.warning("%s: %s; the rows before it are served", config.path, entry.problem)
    return digest.hexdigest()


def _rebuild(
    config: CatalogueConfig,
    index_dir: Path,
    previous: CatalogueIndex | None,
    counter: _RowCounter,
    embedder: Embedder | None,
) -> CatalogueIndex:
    for stale in index_dir.glob("building-*"):
        shutil.rmtree(stale)
    folder = index_dir / f"building-{os.getpid()}"
    folder.mkdir(PRIVATE_FOLDER)
    staging = Staging(index_dir / STAGING, previous, embedder.key if embedder else "")
    db = connect(folder / DATABASE)
    try:
        db.executescript(SCHEMA)
        _write_rows(db, _process_rows(read_entries(config), staging, embedder), staging, counter, embedder)
        write_arrays(db, folder, staging, embedder.dimensions if embedder else 0, counter.report)
        db.execute("UPDATE items SET slot = (SELECT slot FROM pictures WHERE pictures.sha256 = items.sha256)")
        db.executescript(KEYS)
        db.commit()
        version = db.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()[0]
    finally:
        db.close()
        staging.close()
    return _publish(index_dir, folder, version)


def _process_rows(entries: Iterator[Entry], staging: Staging, embedder: Embedder | None) -> Iterator[RowResult]:
    """Yield every row's result in order, while the workers process the next rows."""
    workers = os.cpu_count() or 1
    queued: deque[Future[RowResult]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="index") as pool:
        for entry in entries:
            queued.append(pool.submit(_process_row, entry, staging, embedder))
            if len(queued) >= QUEUED_PER_WORKER * workers:
                yield queued.popleft().result()
        while queued:
            yield queued.popleft().result()


def _process_row(entry: Entry, staging: Staging, embedder: Embedder | None) -> RowResult:
    stamp = _stamp(entry)
    if entry.file is None or entry.problem is not None:
        return RowResult(entry=entry, problem=entry.problem)
    unchanged = staging.sha256_of(stamp) if stamp is not None else None
    if unchanged is not None and staging.is_embedded(unchanged):
        return RowResult(entry=entry, stamp=stamp, sha256=unchanged)
    try:
        data = read_file(entry.file)
        digest = sha256(data).hexdigest()
        analysis = None if staging.is_analysed(digest) else analyse(data)
        embedding = None if embedder is None or staging.is_embedded(digest) else embedder.embed(data)
    except BadPicture as exc:
        return RowResult(entry=entry, stamp=stamp, problem=str(exc))
    return RowResult(entry=entry, stamp=stamp, sha256=digest, analysis=analysis, embedding=embedding)


def _write_rows(
    db: sqlite3.Connection,
    results: Iterator[RowResult],
    staging: Staging,
    counter: _RowCounter,
    embedder: Embedder | None,
) -> None:
    version, fingerprint, number = sha256(_algorithm(embedder)), sha256(_algorithm(embedder)), 0
    for done, result in enumerate(results, start=1):
        _stage(staging, result)
        fingerprint.update(_row_bytes(result.entry, result.stamp))
        fields = orjson.dumps(result.entry.fields)
        added = result.entry.is_row and _insert(db, number, result, fields)
        if added:
            version.update(fields + (result.sha256 or "").encode() + b"\n")
            number += 1
        _record_problem(db, result.entry, result.problem if added or not result.entry.is_row else DUPLICATE_ID)
        if done % COMMIT_EVERY == 0:
            staging.commit()
        counter.finish_row()
    staging.commit()
    digests = {"version": version.hexdigest()[:32], "fingerprint": fingerprint.hexdigest()}
    _write_meta(db, **digests, count=str(number), model=embedder.key if embedder else "")


def _stage(staging: Staging, result: RowResult) -> None:
    if result.sha256 is not None and result.stamp is not None:
        staging.store(result.stamp, result.sha256, result.analysis)
        if result.embedding is not None:
            staging.store_embedding(result.sha256, result.embedding)


def _insert(db: sqlite3.Connection, number: int, result: RowResult, fields: bytes) -> bool:
    """Add a row unless an earlier one has its id; a row without a readable picture can still be looked up by URL."""
    texts, digest = result.entry.fields, result.sha256
    token = None if digest is None else "own_" + sha256(f"{digest} {texts['id']}".encode()).hexdigest()[:40]
    links = (texts["id"], texts["image"], texts.get("page_url"), texts.get("content_url"))
    row = (number, *links, token, digest, None, fields, *(result.stamp or (None, None, None)))
    return db.execute("INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row).rowcount == 1


def _record_problem(db: sqlite3.Connection, entry: Entry, problem: str | None) -> None:
    if problem is not None:
        row = (entry.line, entry.fields["id"], entry.fields["image"], problem)
        db.execute("INSERT INTO skipped VALUES (?, ?, ?, ?)", row)


def _write_meta(db: sqlite3.Connection, **meta: str) -> None:
    db.executemany("INSERT INTO meta VALUES (?, ?)", {"algorithm": ALGORITHM, **meta}.items())


def _publish(index_dir: Path, folder: Path, version: str) -> CatalogueIndex:
    """Make a finished generation the current one, and remove the one it replaces."""
    target = index_dir / f"generation-{version}-{os.urandom(4).hex()}"
    folder.rename(target)
    pointer = index_dir / f"{CURRENT}.new"
    with open_private(pointer, "wb") as stream:
        stream.write(target.name.encode())
        stream.flush()
        os.fsync(stream.fileno())
    pointer.replace(index_dir / CURRENT)
    index = CatalogueIndex(target)
    with open_private(index_dir / SKIPPED, "wb") as stream:
        for row in index.skipped_rows():
            stream.write(orjson.dumps(row) + b"\n")
    for old in index_dir.glob("generation-*"):
        if old != target:
            shutil.rmtree(old)
    (index_dir / STAGING).unlink()
    return index
