"""The SQLite file of one job: how it is opened, and how its errors are told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import OutputError

LAYOUT = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
-- Rows lie in the order they came in: what stands together in the manifest is read and written together.
CREATE TABLE IF NOT EXISTS rows (
    number INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE, -- 16 bytes: the id, or the place of a line that has none of its own
    line INTEGER NOT NULL,    -- of the manifest, when it was last written down
    span INTEGER NOT NULL,    -- the span it was written down with; 0 or the id of one that is gone: none
    state INTEGER NOT NULL,   -- ledger.State
    digest BLOB NOT NULL,     -- 16 bytes: the row and the settings it was asked with
    stamp BLOB NOT NULL,      -- size and mtime of a local file, else empty
    question BLOB NOT NULL,   -- 16 bytes: the picture's own bytes and all that is asked of it, else empty
    place INTEGER NOT NULL,   -- offset of its line in insights.jsonl or failures.jsonl
    length INTEGER NOT NULL,
    asked_at REAL NOT NULL,   -- Unix time of its oldest answer, or of its failure
    code TEXT NOT NULL,       -- of a failure
    prints BLOB NOT NULL      -- the fingerprints of its answers, 32 bytes each
);
-- Lines of the manifest of which every row is done or has failed for good, and nothing of it changed since: spans.py.
CREATE TABLE IF NOT EXISTS spans (
    id INTEGER PRIMARY KEY,   -- never given twice
    line INTEGER NOT NULL UNIQUE,  -- its first line
    lines INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    digest BLOB NOT NULL,     -- 16 bytes: its text, how it is read, and the settings its rows were asked with
    done INTEGER NOT NULL,    -- rows with a record
    failed BLOB NOT NULL,     -- JSON: failed rows by code
    asked_at REAL NOT NULL,   -- Unix time of the oldest answer
    pictures BLOB NOT NULL,   -- zstd: the names of its local pictures, each ended by NUL
    stamps BLOB NOT NULL      -- 16 bytes: the sizes and mtimes of them all
);
CREATE INDEX IF NOT EXISTS rows_question ON rows (question) WHERE question != x'';
CREATE TABLE IF NOT EXISTS answers (
    print BLOB NOT NULL UNIQUE,  -- 32 bytes: Request.fingerprint
    asked_at REAL NOT NULL,
    status INTEGER NOT NULL,
    headers BLOB NOT NULL,       -- JSON
    body BLOB NOT NULL           -- zstd
);
CREATE TABLE IF NOT EXISTS moved (
    key BLOB PRIMARY KEY, place INTEGER NOT NULL, length INTEGER NOT NULL
) WITHOUT ROWID;
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open the job's database in WAL mode with autocommit, its tables made where they are not there.

    Commits survive kill -9 at once; a power cut only after a synced commit (`synced`).
    """
    with translated(path):
        connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -8000")
        layout = connection.execute("PRAGMA user_version").fetchone()[0]
        if layout == 0:
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {LAYOUT}; COMMIT;")
        elif layout != LAYOUT:
            raise OutputError(f"{path} has layout {layout}, this version writes {LAYOUT}; take another output.dir")
        return connection


@contextmanager
def transaction(connection: sqlite3.Connection, *, synced: bool = False) -> Iterator[None]:
    """Commit what happens inside as one; `synced`: it and all earlier commits are on the disk afterwards."""
    if synced:
        connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    else:
        connection.execute("COMMIT")
    finally:
        if synced:
            connection.execute("PRAGMA synchronous = NORMAL")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Tell SQLite's errors as OutputError: disk full, no permission, a broken file."""
    try:
        yield
    except sqlite3.Error as exc:
        raise OutputError(f"{path} can't be used ({exc}); what was committed is safe, mend that and run again") from exc
