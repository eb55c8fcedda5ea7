"""What earlier builds have computed: the last index, and the work of a build that was killed (staging.db)."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.service.engine.analysis import Analysis, pack_features, read_facts, unpack_features, write_facts
from pipeline.service.engine.color import Floats
from pipeline.service.engine.descriptors import Features
from pipeline.service.engine.index import DATABASE, CatalogueIndex, connect

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS files (file TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, sha256 TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS analyses (sha256 TEXT PRIMARY KEY, facts BLOB, features BLOB);
CREATE TABLE IF NOT EXISTS embeddings (model TEXT, sha256 TEXT, vector BLOB, PRIMARY KEY (model, sha256));
"""


class Staging:
    """Results by file and by content; many threads may read, and one writes.

    `model` is the key of the embedding model, "" without one; the embeddings of other models are ignored.
    """

    def __init__(self, path: Path, previous: CatalogueIndex | None, model: str = "") -> None:
        self._db = _open(path)
        self._previous = previous
        self._model = model
        self._old = None if previous is None else connect(previous.folder / DATABASE, read_only=True)
        self._lock = threading.Lock()

    def sha256_of(self, stamp: tuple[str, int, int]) -> str | None:
        """Return the SHA-256 of a file that had this path, size and time when it was last read."""
        for table, db in (("files", self._db), ("items", self._old)):
            query = f"SELECT sha256 FROM {table} WHERE file = ? AND size = ? AND mtime_ns = ?"  # noqa: S608 - `table` is ours
            if db is not None and (row := self._fetch_one(db, query, stamp)) and row[0] is not None:
                return str(row[0])
        return None

    def is_analysed(self, digest: str) -> bool:
        """Return True if a picture of this content has been analysed."""
        if self._fetch_one(self._db, "SELECT 1 FROM analyses WHERE sha256 = ?", (digest,)):
            return True
        return (
            self._old is not None
            and self._fetch_one(self._old, "SELECT 1 FROM pictures WHERE sha256 = ?", (digest,)) is not None
        )

    def analysis(self, digest: str) -> Analysis:
        """Return the analysis of a content; raises KeyError if there is none."""
        if row := self._fetch_one(self._db, "SELECT facts, features FROM analyses WHERE sha256 = ?", (digest,)):
            return Analysis(facts=read_facts(row[0]), features=unpack_features(row[1]))
        if self._old is None or self._previous is None:
            raise KeyError(digest)
        slot, facts = self._fetch_one(self._old, "SELECT slot, facts FROM pictures WHERE sha256 = ?", (digest,))
        features = Features(
            phash=self._previous.hashes[slot],
            descriptor=self._previous.descriptors[slot],
            thumb=self._previous.thumbs[slot],
        )
        return Analysis(facts=read_facts(facts), features=features)

    def is_embedded(self, digest: str) -> bool:
        """Return True if a picture of this content has its embedding, or if there is no model."""
        return not self._model or self._staged_vector(digest) is not None or self._old_slot(digest) is not None

    def embedding(self, digest: str) -> Floats:
        """Return the embedding of a content by the model; raises KeyError if there is none."""
        if (staged := self._staged_vector(digest)) is not None:
            return np.frombuffer(staged, dtype=np.float32)
        slot = self._old_slot(digest)
        if slot is None or self._previous is None:
            raise KeyError(digest)
        vector: Floats = self._previous.embeddings[slot]
        return vector

    def store_embedding(self, digest: str, vector: Floats) -> None:
        """Store the embedding of a content."""
        with self._lock:
            self._db.execute(
                "INSERT OR IGNORE INTO embeddings VALUES (?, ?, ?)", (self._model, digest, vector.tobytes())
            )

    def store(self, stamp: tuple[str, int, int], digest: str, analysis: Analysis | None) -> None:
        """Store the content of a file, and the analysis if it is new."""
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (*stamp, digest))
            if analysis is not None:
                row = (digest, write_facts(analysis.facts), pack_features(analysis.features))
                self._db.execute("INSERT OR IGNORE INTO analyses VALUES (?, ?, ?)", row)

    def release(self) -> None:
        """Release the memory that reading the last index took."""
        if self._previous is not None:
            self._previous.release()

    def commit(self) -> None:
        """Commit what was stored, so that it survives a kill."""
        with self._lock:
            self._db.commit()

    def close(self) -> None:
        """Close the databases."""
        self._db.close()
        if self._old is not None:
            self._old.close()

    def _staged_vector(self, digest: str) -> bytes | None:
        query = "SELECT vector FROM embeddings WHERE model = ? AND sha256 = ?"
        row = self._fetch_one(self._db, query, (self._model, digest))
        return row[0] if row else None

    def _old_slot(self, digest: str) -> int | None:
        """Return the slot of a content in the last index, if the same model made its embeddings."""
        if self._previous is None or self._previous.model != self._model:
            return None
        return self._previous.slot_of(digest)

    def _fetch_one(self, db: sqlite3.Connection, query: str, values: tuple[object, ...]) -> Any:
        with self._lock:
            return db.execute(query, values).fetchone()


def _open(path: Path) -> sqlite3.Connection:
    """Open the staging database; a damaged one is deleted and created again."""
    for _ in range(2):
        db = connect(path)
        try:
            db.executescript(_SCHEMA)
        except sqlite3.DatabaseError:
            db.close()
            path.unlink(missing_ok=True)
        else:
            return db
    raise sqlite3.DatabaseError(f"{path} can't be created")
