"""Builds the index of a catalogue: in parallel, resumable after a kill, replaced in one step, one builder at a time.

Pictures are decoded in processes of their own (decoders.py): one that crashes its decoder costs its row.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from hashlib import sha256
from pathlib import Path

import orjson

from pipeline.errors import OutputError, ServiceError
from pipeline.guards.private_files import PRIVATE_FOLDER, make_private_folder, open_private
from pipeline.service.engine.analysis import ALGORITHM
from pipeline.service.engine.arrays import write_arrays
from pipeline.service.engine.build_digests import BuildDigests
from pipeline.service.engine.build_lock import hold_build_lock
from pipeline.service.engine.catalogue import Entry, read_entries
from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.embedding import Embedder
from pipeline.service.engine.index import (
    CURRENT,
    DATABASE,
    KEYS,
    LEFT_OUT,
    SCHEMA,
    CatalogueIndex,
    connect,
    open_current,
)
from pipeline.service.engine.items import left_out
from pipeline.service.engine.picture_files import PictureFiles, root_of
from pipeline.service.engine.row_worker import RowResult, RowWorker, stamp_of
from pipeline.service.engine.staging import Staging
from pipeline.service.findings import CatalogueConfig

log = logging.getLogger("pipeline.service")
Progress = Callable[[int, int], None]
# Rows queued for each worker: enough to keep it busy while another one waits for a picture that takes long, few enough
# for flat memory (10 KB each), and for what a kill may undo.
QUEUED_PER_WORKER = 250
COMMIT_EVERY = 32
# The file that lists the rows without a usable picture for the user: one JSON object per line.
SKIPPED = "skipped.jsonl"
DUPLICATE_ID = "another row has this id"
STAGING = f"staging-{ALGORITHM}.db"


def build_index(
    config: CatalogueConfig,
    index_dir: Path,
    progress: Progress | None = None,
    *,
    embedder: Embedder | None = None,
    decoders: Decoders | None = None,
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
            fingerprint = _fingerprint(BuildDigests(config, embedder), config, counter)
            previous = open_current(index_dir)
            if previous is not None and previous.meta["fingerprint"] == fingerprint:
                return previous
            with Decoders(_cores()) if decoders is None else nullcontext(decoders) as pool:
                return _rebuild(config, index_dir, previous, counter, embedder, pool)
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


def _fingerprint(digests: BuildDigests, config: CatalogueConfig, counter: _RowCounter) -> str:
    """Count the rows, and return the digest of all that an index is made from."""
    for entry in read_entries(config):
        digests.add_row(entry, stamp_of(entry))
        counter.add_row()
        if entry.is_cut:
            log.warning("%s: %s; the rows before it are served", config.path, entry.problem)
    return digests.fingerprint


def _rebuild(
    config: CatalogueConfig,
    index_dir: Path,
    previous: CatalogueIndex | None,
    counter: _RowCounter,
    embedder: Embedder | None,
    decoders: Decoders,
) -> CatalogueIndex:
    for stale in index_dir.glob("building-*"):
        shutil.rmtree(stale)
    folder = index_dir / f"building-{os.getpid()}"
    folder.mkdir(PRIVATE_FOLDER)
    staging = Staging(index_dir / STAGING, previous, embedder.key if embedder else "")
    db = connect(folder / DATABASE)
    try:
        db.executescript(SCHEMA)
        worker = RowWorker(PictureFiles(root_of(config)), staging, decoders, embedder)
        with closing(_process_rows(read_entries(config), worker)) as results:
            _write_rows(db, results, BuildDigests(config, embedder), staging, counter)
        write_arrays(db, folder, staging, embedder.dimensions if embedder else 0, counter.report)
        db.execute("UPDATE items SET slot = (SELECT slot FROM pictures WHERE pictures.sha256 = items.sha256)")
        db.executescript(KEYS)
        db.commit()
        version = db.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()[0]
    finally:
        db.close()
        staging.close()
    return _publish(index_dir, folder, version)


def _process_rows(entries: Iterator[Entry], worker: RowWorker) -> Generator[RowResult]:
    """Yield every row's result in order, while the workers process the next rows."""
    queued: deque[Future[RowResult]] = deque()
    pool = ThreadPoolExecutor(_cores(), thread_name_prefix="index")
    try:
        for entry in entries:
            queued.append(pool.submit(worker.process, entry))
            if len(queued) >= QUEUED_PER_WORKER * _cores():
                yield queued.popleft().result()
        while queued:
            yield queued.popleft().result()
    finally:  # a build that ends early ends the rows that are queued with it
        pool.shutdown(cancel_futures=True)


def _cores() -> int:
    return os.cpu_count() or 1


def _write_rows(
    db: sqlite3.Connection, results: Iterator[RowResult], digests: BuildDigests, staging: Staging, counter: _RowCounter
) -> None:
    number, unread = 0, Counter[str]()
    for done, result in enumerate(results, start=1):
        _stage(staging, result)
        digests.add_row(result.entry, result.stamp)
        fields = orjson.dumps(result.entry.fields)
        added = result.entry.is_row and _insert(db, number, result, fields)
        if added:
            digests.add_item(fields, result.sha256)
            unread.update(left_out(result.entry.fields))
            number += 1
        _record_problem(db, result.entry, result.problem if added or not result.entry.is_row else DUPLICATE_ID)
        if done % COMMIT_EVERY == 0:
            staging.commit()
        counter.finish_row()
    staging.commit()
    db.executemany(
        "INSERT INTO meta VALUES (?, ?)",
        {"count": str(number), LEFT_OUT: orjson.dumps(unread).decode(), **digests.meta()}.items(),
    )


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
