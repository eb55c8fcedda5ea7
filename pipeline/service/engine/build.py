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

from pipeline.errors import ServiceError
from pipeline.service.engine.analysis import ALGORITHM, Analysis, analyse, read_file
from pipeline.service.engine.arrays import write_arrays
from pipeline.service.engine.buildlock import only_builder
from pipeline.service.engine.catalogue import Entry, read_entries
from pipeline.service.engine.color import Floats
from pipeline.service.engine.embedding import Embedder
from pipeline.service.engine.index import (
    CURRENT,
    DATABASE,
    KEYS,
    SCHEMA,
    Index,
    connect,
    open_current,
)
from pipeline.service.engine.staging import Staging
from pipeline.service.findings import BadPicture, CatalogueConfig

log = logging.getLogger("pipeline.service")
Progress = Callable[[int, int], None]
Stamp = tuple[str, int, int]
# Pictures that wait for a worker, for each worker: enough to keep it busy, few enough for flat memory.
AHEAD = 8
COMMIT_EVERY = 32
# Names the rows without a usable picture, for the user: one JSON object a line.
SKIPPED = "skipped.jsonl"
TAKEN = "another row has this id"
STAGING = f"staging-{ALGORITHM}.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one row: its picture's `sha256`, a new `analysis` and `embedding` of it, or the `problem`."""

    entry: Entry
    stamp: Stamp | None = None
    sha256: str | None = None
    analysis: Analysis | None = None
    embedding: Floats | None = None
    problem: str | None = None


def build_index(
    config: CatalogueConfig, index_dir: Path, progress: Progress | None = None, *, embedder: Embedder | None = None
) -> Index:
    """Return the index of the catalogue as it is now; nothing is computed that an earlier build already knows.

    Another model than before costs its embeddings, and nothing else. `progress` is called with (rows done, rows in
    all) at every step: while rows are counted, none is done; when all are, their arrays are written. Raises
    TableError, and ServiceError where `index_dir` can't be written or the model fails.
    """
    try:
        index_dir.mkdir(parents=True, exist_ok=True)
        count = _Count(progress)
        with only_builder(index_dir, count.tell):
            fingerprint = _survey(config, embedder, count)
            previous = open_current(index_dir)
            if previous is not None and previous.meta["fingerprint"] == fingerprint:
                return previous
            return _rebuild(config, index_dir, previous, count, embedder)
    except (OSError, sqlite3.Error) as exc:
        raise ServiceError(f"{index_dir}: the index can't be written ({exc})") from exc


class _Count:
    """Rows done, of how many, and whom to tell."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._total, self._done = progress, 0, 0

    def find(self) -> None:
        self._total += 1
        self.tell()

    def step(self) -> None:
        self._done += 1
        self.tell()

    def tell(self) -> None:
        if self._progress is not None:
            self._progress(self._done, max(self._total, self._done))


def _stamp(entry: Entry) -> Stamp | None:
    try:
        found = entry.file.stat() if entry.file is not None else None
    except OSError:
        return None
    return (str(entry.file), found.st_size, found.st_mtime_ns) if found is not None else None


def _trace(entry: Entry, stamp: Stamp | None) -> bytes:
    return orjson.dumps((entry.line, entry.fields, entry.problem, stamp)) + b"\n"


def _rules(embedder: Embedder | None) -> bytes:
    """Return what the numbers of an index depend on besides the catalogue."""
    return (ALGORITHM + (embedder.key if embedder else "")).encode()


def _survey(config: CatalogueConfig, embedder: Embedder | None, count: _Count) -> str:
    """Count the rows, and digest them together with the sizes and times of their files."""
    digest = sha256(_rules(embedder))
    for entry in read_entries(config):
        digest.update(_trace(entry, _stamp(entry)))
        count.find()
        if entry.is_cut:
            log.warning("%s: %s; what comes before is served", config.path, entry.problem)
    return digest.hexdigest()


def _rebuild(
    config: CatalogueConfig, index_dir: Path, previous: Index | None, count: _Count, embedder: Embedder | None
) -> Index:
    for stale in index_dir.glob("building-*"):
        shutil.rmtree(stale)
    folder = index_dir / f"building-{os.getpid()}"
    folder.mkdir()
    staging = Staging(index_dir / STAGING, previous, embedder.key if embedder else "")
    db = connect(folder / DATABASE)
    try:
        db.executescript(SCHEMA)
        _write_rows(db, _outcomes(read_entries(config), staging, embedder), staging, count, embedder)
        write_arrays(db, folder, staging, embedder.dimensions if embedder else 0, count.tell)
        db.execute("UPDATE items SET slot = (SELECT slot FROM pictures WHERE pictures.sha256 = items.sha256)")
        db.executescript(KEYS)
        db.commit()
        version = db.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()[0]
    finally:
        db.close()
        staging.close()
    return _replace(index_dir, folder, version)


def _outcomes(entries: Iterator[Entry], staging: Staging, embedder: Embedder | None) -> Iterator[Outcome]:
    """Yield every row's outcome in order, while the workers are at the next ones."""
    workers = os.cpu_count() or 1
    waiting: deque[Future[Outcome]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="index") as pool:
        for entry in entries:
            waiting.append(pool.submit(_examine, entry, staging, embedder))
            if len(waiting) >= AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _examine(entry: Entry, staging: Staging, embedder: Embedder | None) -> Outcome:
    stamp = _stamp(entry)
    if entry.file is None or entry.problem is not None:
        return Outcome(entry=entry, problem=entry.problem)
    known = staging.known_file(stamp) if stamp is not None else None
    if known is not None and staging.is_embedded(known):
        return Outcome(entry=entry, stamp=stamp, sha256=known)
    try:
        data = read_file(entry.file)
        digest = sha256(data).hexdigest()
        analysis = None if staging.knows(digest) else analyse(data)
        embedding = None if embedder is None or staging.is_embedded(digest) else embedder.embed(data)
    except BadPicture as exc:
        return Outcome(entry=entry, stamp=stamp, problem=str(exc))
    return Outcome(entry=entry, stamp=stamp, sha256=digest, analysis=analysis, embedding=embedding)


def _write_rows(
    db: sqlite3.Connection, outcomes: Iterator[Outcome], staging: Staging, count: _Count, embedder: Embedder | None
) -> None:
    version, fingerprint, number = sha256(_rules(embedder)), sha256(_rules(embedder)), 0
    for done, outcome in enumerate(outcomes, start=1):
        if outcome.sha256 is not None and outcome.stamp is not None:
            staging.keep(outcome.stamp, outcome.sha256, outcome.analysis)
            if outcome.embedding is not None:
                staging.keep_embedding(outcome.sha256, outcome.embedding)
        fingerprint.update(_trace(outcome.entry, outcome.stamp))
        fields = orjson.dumps(outcome.entry.fields)
        added = outcome.entry.is_row and _insert(db, number, outcome, fields)
        if added:
            version.update(fields + (outcome.sha256 or "").encode() + b"\n")
            number += 1
        _note_problem(db, outcome.entry, outcome.problem if added or not outcome.entry.is_row else TAKEN)
        if done % COMMIT_EVERY == 0:
            staging.commit()
        count.step()
    staging.commit()
    known = {"version": version.hexdigest()[:32], "fingerprint": fingerprint.hexdigest(), "count": str(number)}
    _write_meta(db, **known, model=embedder.key if embedder else "")


def _insert(db: sqlite3.Connection, number: int, outcome: Outcome, fields: bytes) -> bool:
    """Add a row unless its id is taken; a row without a readable picture stays findable by its URLs."""
    known, digest = outcome.entry.fields, outcome.sha256
    token = None if digest is None else "own_" + sha256(f"{digest} {known['id']}".encode()).hexdigest()[:40]
    links = (known["id"], known["image"], known.get("page_url"), known.get("content_url"))
    row = (number, *links, token, digest, None, fields, *(outcome.stamp or (None, None, None)))
    return db.execute("INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row).rowcount == 1


def _note_problem(db: sqlite3.Connection, entry: Entry, problem: str | None) -> None:
    if problem is not None:
        row = (entry.line, entry.fields["id"], entry.fields["image"], problem)
        db.execute("INSERT INTO skipped VALUES (?, ?, ?, ?)", row)


def _write_meta(db: sqlite3.Connection, **meta: str) -> None:
    db.executemany("INSERT INTO meta VALUES (?, ?)", {"algorithm": ALGORITHM, **meta}.items())


def _replace(index_dir: Path, folder: Path, version: str) -> Index:
    """Put the finished generation in its place, point to it, and remove what it replaces."""
    target = index_dir / f"generation-{version}-{os.urandom(4).hex()}"
    folder.rename(target)
    pointer = index_dir / f"{CURRENT}.new"
    with pointer.open("w", encoding="utf-8") as stream:
        stream.write(target.name)
        stream.flush()
        os.fsync(stream.fileno())
    pointer.replace(index_dir / CURRENT)
    index = Index(target)
    with (index_dir / SKIPPED).open("wb") as stream:
        for row in index.skipped_rows():
            stream.write(orjson.dumps(row) + b"\n")
    for old in index_dir.glob("generation-*"):
        if old != target:
            shutil.rmtree(old)
    (index_dir / STAGING).unlink()
    return index
