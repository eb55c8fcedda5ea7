"""Jobs of older layouts: the one that a version with layout 2 left, and the same with layout 1."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

LAYOUT_2 = Path(__file__).parent / "layout_2"
PICTURES_MODIFIED = 1_790_000_000
_COLUMNS = "key, state, digest, stamp, question, place, length, asked_at, code, prints"

# As the first version with layout 1 wrote it, but for comments.
_LAYOUT_1_ROWS = """
CREATE TABLE rows (
    key BLOB PRIMARY KEY,
    state INTEGER NOT NULL,
    digest BLOB NOT NULL,
    stamp BLOB NOT NULL,
    question BLOB NOT NULL,
    place INTEGER NOT NULL,
    length INTEGER NOT NULL,
    asked_at REAL NOT NULL,
    code TEXT NOT NULL,
    prints BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX rows_question ON rows (question) WHERE question != x'';
"""


def copy_layout_2(folder: Path) -> Path:
    """Copy the job of layout 2 into `folder` and return its state.db."""
    shutil.copytree(LAYOUT_2, folder, dirs_exist_ok=True)
    for picture in (folder / "pictures").iterdir():
        os.utime(picture, (PICTURES_MODIFIED, PICTURES_MODIFIED))
    return folder / "job" / "state.db"


def copy_layout_1(folder: Path) -> Path:
    """Do the same as a version with layout 1 would have left it: without checkpoints, its rows without lines."""
    path = copy_layout_2(folder)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(
            f"""
            BEGIN;
            DROP INDEX rows_question;
            ALTER TABLE rows RENAME TO rows_2;
            {_LAYOUT_1_ROWS}
            INSERT INTO rows ({_COLUMNS}) SELECT {_COLUMNS} FROM rows_2;
            DROP TABLE rows_2;
            DROP TABLE spans;
            DELETE FROM meta WHERE name = 'span';
            PRAGMA user_version = 1;
            COMMIT;
            """
        )
    return path


COPIES = {1: copy_layout_1, 2: copy_layout_2}


def content(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return all that a database holds, by table."""
    with closing(sqlite3.connect(path)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: sorted(database.execute(f"SELECT * FROM {name}"), key=str) for name in sorted(names)}


def layout(path: Path) -> int:
    """Return the layout that a database says it has."""
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])
