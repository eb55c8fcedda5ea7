"""The tables of state.db, and the numbered steps that bring a database of an older version to them.

A new database gets the current tables at once. An older one is copied beside itself first ("state.db.layout-2"), then
brought forward one layout at a time. Each step is one transaction that changes the tables and the layout's number
(SQLite's user_version) together: a kill leaves one layout or the next one, and the next run goes on from there.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from pipeline.errors import OutputError
from pipeline.guards.private_files import make_private, remove, sync
from pipeline.state.database import connect, transaction, translated

LAYOUT = 4
# A copy is kept for users who must go back to the older version. Answers that come later are not in it.
COPY_SECONDS = 30 * 24 * 3600.0

# What was, and what is to be said of it.
_HISTORY = (
    # Records that were superseded by one that says something else: history.py.
    """
    CREATE TABLE history (
        number INTEGER PRIMARY KEY,
        row_key BLOB NOT NULL,
        run INTEGER NOT NULL,         -- the run that superseded it
        at REAL NOT NULL,             -- Unix time of that
        record BLOB NOT NULL          -- zstd: its line
    )
    """,
    "CREATE INDEX history_row_key ON history (row_key)",
    "CREATE INDEX history_at ON history (at)",
    # Rows with a line that the manifest of the last complete run did not name.
    "CREATE TABLE absent (row_key BLOB PRIMARY KEY) WITHOUT ROWID",
    # Messages of alerts that wait to be sent: notices.py.
    """
    CREATE TABLE notices (
        number INTEGER PRIMARY KEY,
        alert TEXT NOT NULL,          -- which alert says it
        way TEXT NOT NULL,            -- how: command, webhook or mail
        message BLOB NOT NULL,        -- JSON
        attempts INTEGER NOT NULL     -- runs that tried to send it
    )
    """,
    # Alerts on the run whose condition held at the end of the last run.
    "CREATE TABLE raised (alert TEXT PRIMARY KEY) WITHOUT ROWID",
)

_TABLES = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    # Rows lie in the order they came in: what is together in the manifest is read and written together.
    """
    CREATE TABLE rows (
        number INTEGER PRIMARY KEY,
        row_key BLOB NOT NULL UNIQUE, -- ledger.py explains the keys
        line INTEGER NOT NULL,        -- of the manifest, when it was last written down
        checkpoint INTEGER NOT NULL,  -- the checkpoint it was written down with; 0 or the id of a dropped one: none
        state INTEGER NOT NULL,       -- ledger.State
        content_key BLOB NOT NULL,
        file_stamp BLOB NOT NULL,     -- of a local picture, else empty
        cache_key BLOB NOT NULL,      -- empty where it has no record
        offset INTEGER NOT NULL,      -- of its line in insights.jsonl or failures.jsonl, in bytes
        length INTEGER NOT NULL,      -- of its line, in bytes
        asked_at REAL NOT NULL,       -- Unix time of its oldest answer, or of its failure
        code TEXT NOT NULL,           -- of a failure
        fingerprints BLOB NOT NULL,   -- of its answers, 32 bytes each
        ordinal INTEGER NOT NULL DEFAULT 0 -- of the row in the manifest, when it was last written down
    )
    """,
    "CREATE INDEX rows_cache_key ON rows (cache_key) WHERE cache_key != x''",
    # Lines of the manifest of which every row is done or has failed for good, unchanged since: checkpoints.py.
    """
    CREATE TABLE checkpoints (
        id INTEGER PRIMARY KEY,       -- never given twice
        line INTEGER NOT NULL UNIQUE, -- its first line
        lines INTEGER NOT NULL,
        rows INTEGER NOT NULL,
        digest BLOB NOT NULL,         -- 16 bytes: its text, how it is read, and the settings its rows were asked with
        done INTEGER NOT NULL,        -- rows with a record
        failed BLOB NOT NULL,         -- JSON: failed rows by code
        asked_at REAL NOT NULL,       -- Unix time of the oldest answer
        pictures BLOB NOT NULL,       -- zstd: the names of its local pictures, each ended by NUL
        file_stamps BLOB NOT NULL     -- 16 bytes: the file stamps of them all
    )
    """,
    """
    CREATE TABLE answers (
        fingerprint BLOB NOT NULL UNIQUE, -- 32 bytes: Request.fingerprint
        asked_at REAL NOT NULL,
        status INTEGER NOT NULL,
        headers BLOB NOT NULL,            -- JSON
        body BLOB NOT NULL,               -- zstd
        request BLOB,                     -- JSON: the request without its body; NULL in answers of layouts 1 and 2
        request_body BLOB                 -- zstd; NULL where the body holds a picture, or there is none
    )
    """,
    # The lines of an output file that is being replaced: output_files.py.
    "CREATE TABLE moved (row_key BLOB PRIMARY KEY, offset INTEGER NOT NULL, length INTEGER NOT NULL) WITHOUT ROWID",
    *_HISTORY,
)

# Layout 2 numbers the rows and has spans, which layout 3 calls checkpoints.
_FROM_1 = (
    "ALTER TABLE rows RENAME TO old_rows",
    """
    CREATE TABLE rows (
        number INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        line INTEGER NOT NULL,
        span INTEGER NOT NULL,
        state INTEGER NOT NULL,
        digest BLOB NOT NULL,
        stamp BLOB NOT NULL,
        question BLOB NOT NULL,
        place INTEGER NOT NULL,
        length INTEGER NOT NULL,
        asked_at REAL NOT NULL,
        code TEXT NOT NULL,
        prints BLOB NOT NULL
    )
    """,
    """
    INSERT INTO rows (key, line, span, state, digest, stamp, question, place, length, asked_at, code, prints)
    SELECT key, 0, 0, state, digest, stamp, question, place, length, asked_at, code, prints
    FROM old_rows ORDER BY state, place
    """,
    "DROP TABLE old_rows",
    "CREATE INDEX rows_question ON rows (question) WHERE question != x''",
    """
    CREATE TABLE spans (
        id INTEGER PRIMARY KEY,
        line INTEGER NOT NULL UNIQUE,
        lines INTEGER NOT NULL,
        rows INTEGER NOT NULL,
        digest BLOB NOT NULL,
        done INTEGER NOT NULL,
        failed BLOB NOT NULL,
        asked_at REAL NOT NULL,
        pictures BLOB NOT NULL,
        stamps BLOB NOT NULL
    )
    """,
)

# Layout 3 keeps requests with their answers, and calls things by the field's names.
_FROM_2 = (
    "DROP INDEX rows_question",
    "ALTER TABLE rows RENAME COLUMN key TO row_key",
    "ALTER TABLE rows RENAME COLUMN span TO checkpoint",
    "ALTER TABLE rows RENAME COLUMN digest TO content_key",
    "ALTER TABLE rows RENAME COLUMN stamp TO file_stamp",
    "ALTER TABLE rows RENAME COLUMN question TO cache_key",
    "ALTER TABLE rows RENAME COLUMN place TO offset",
    "ALTER TABLE rows RENAME COLUMN prints TO fingerprints",
    "CREATE INDEX rows_cache_key ON rows (cache_key) WHERE cache_key != x''",
    "ALTER TABLE spans RENAME TO checkpoints",
    "ALTER TABLE checkpoints RENAME COLUMN stamps TO file_stamps",
    "ALTER TABLE answers RENAME COLUMN print TO fingerprint",
    "ALTER TABLE answers ADD COLUMN request BLOB",
    "ALTER TABLE answers ADD COLUMN request_body BLOB",
    "ALTER TABLE moved RENAME COLUMN key TO row_key",
    "ALTER TABLE moved RENAME COLUMN place TO offset",
    "UPDATE meta SET name = 'last checkpoint' WHERE name = 'span'",
    "UPDATE meta SET name = 'superseded lines' WHERE name = 'stale'",
)

# Layout 4 knows the order of the manifest, what was superseded, and what alerts have to say.
_FROM_3 = ("ALTER TABLE rows ADD COLUMN ordinal INTEGER NOT NULL DEFAULT 0", *_HISTORY)

_STEPS = {1: _FROM_1, 2: _FROM_2, 3: _FROM_3}


def migrate(path: Path) -> None:
    """Bring the database at `path` to the current layout, and make one where there is none.

    A database of an older layout may be migrated only by the holder of the job's lock. Raises OutputError for one of a
    newer layout, and where the copy or the database can't be written; nothing is changed then.
    """
    with closing(connect(path)) as connection, translated(path):
        layout = _layout(connection)
        if layout > LAYOUT:
            raise OutputError(
                f"{path} was written by a newer version of image-insights (its layout is {layout}, this version knows "
                f"{LAYOUT}); run this job with that version, or a later one"
            )
        if layout == 0:
            _change(connection, 0, _TABLES, LAYOUT)
        elif layout < LAYOUT:
            _copy(connection, path, layout)
            for step in range(layout, LAYOUT):
                _change(connection, step, _STEPS[step], step + 1)
    _remove_old_copies(path)


def is_outdated(path: Path) -> bool:
    """Return True if the database at `path` has an older layout."""
    with closing(connect(path)) as connection, translated(path):
        return 0 < _layout(connection) < LAYOUT


def is_empty(path: Path) -> bool:
    """Return True if there is no database at `path`, or one without tables, such as a recovery that went wrong."""
    if not path.exists() or not path.stat().st_size:
        return True
    with closing(connect(path)) as connection, translated(path):
        return _layout(connection) == 0


def copy_path(path: Path, layout: int) -> Path:
    """Return where the copy of a database of this layout is kept."""
    return path.with_name(f"{path.name}.layout-{layout}")


def _layout(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _change(connection: sqlite3.Connection, before: int, statements: tuple[str, ...], after: int) -> None:
    """Bring a database from one layout to another in one transaction, unless another process was faster."""
    with transaction(connection, synced=True):
        if _layout(connection) == before:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {after}")


def _copy(connection: sqlite3.Connection, path: Path, layout: int) -> None:
    """Copy the database beside itself, whole or not at all."""
    copy = copy_path(path, layout)
    temporary = copy.with_name(f"{copy.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        make_private(temporary)
        with closing(sqlite3.connect(temporary)) as target:
            target.execute("PRAGMA journal_mode = OFF")  # a kill leaves no journal behind that a later copy would read
            connection.backup(target)
        sync(temporary)
        temporary.replace(copy)
        sync(copy.parent)
    except (OSError, sqlite3.Error) as exc:
        remove(temporary)
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise OutputError(
            f"{copy} can't be written ({reason}); {path} is of an older version and is copied there before it is "
            "changed. Nothing was changed: make room for the copy and run again"
        ) from exc


def _remove_old_copies(path: Path) -> None:
    """Remove the copies that are older than COPY_SECONDS."""
    for layout in range(1, LAYOUT):
        copy = copy_path(path, layout)
        if copy.exists() and time.time() - copy.stat().st_mtime > COPY_SECONDS:
            remove(copy)
