"""The SQLite file of one job: its connections, its transactions, and its errors as ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from pipeline.errors import OutputError
from pipeline.guards.private_files import private_database

T = TypeVar("T")
_PRIMARY_CODE = 0xFF  # of SQLite's extended codes
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDatabase:
    """An open state.db. Each connection belongs to one thread at a time.

    `writer` belongs to the sink's thread and `reader` to change detection, which so never waits for a commit.
    `answer_reader` looks answers up for everyone else. It can't be `reader`: an unfinished SELECT of another thread
    would keep the whole connection at an old snapshot, and an answer that was committed since would be paid for again.
    """

    path: Path
    writer: sqlite3.Connection
    reader: sqlite3.Connection
    answer_reader: sqlite3.Connection

    @contextmanager
    def transaction(self, *, synced: bool = False) -> Iterator[sqlite3.Connection]:
        """Give the writer, and commit what happens inside as one; see `transaction`."""
        with translated(self.path), transaction(self.writer, synced=synced):
            yield self.writer

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the reader."""
        with translated(self.path):
            yield self.reader

    def number(self, name: str) -> int:
        """Return a number of the table `meta` as the writer sees it, 0 where it was never set."""
        with translated(self.path):
            row = self.writer.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def set_number(self, name: str, value: int) -> None:
        """Keep a number in the table `meta`."""
        with self.transaction() as writer:
            writer.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))


@contextmanager
def open_database(path: Path) -> Iterator[StateDatabase]:
    """Open all connections to a database of the current layout (migrations.py)."""
    with ExitStack() as opened:
        writer, reader, answer_reader = (opened.enter_context(closing(connect(path))) for _ in range(3))
        yield StateDatabase(path=path, writer=writer, reader=reader, answer_reader=answer_reader)


def connect(path: Path) -> sqlite3.Connection:
    """Open the file in WAL mode with autocommit; it is made where it is not there.

    Commits survive kill -9 at once; a power cut only after a synced commit (`synced`).
    """
    with translated(path):
        connection = sqlite3.connect(private_database(path), timeout=30, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -8000")
        return connection


@contextmanager
def transaction(connection: sqlite3.Connection, *, synced: bool = False) -> Iterator[None]:
    """Commit what happens inside as one; `synced`: it and all earlier commits are on the disk afterwards.

    Inside another transaction of the connection it is a part of that one.
    """
    is_part = connection.in_transaction
    if is_part:
        yield
        return
    if synced:
        connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # on a full disk SQLite may have rolled back by itself
            connection.execute("ROLLBACK")
        raise
    finally:
        if synced:
            connection.execute("PRAGMA synchronous = NORMAL")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as OutputError: disk full, no permission, a broken file."""
    try:
        yield
    except sqlite3.Error as exc:
        if getattr(exc, "sqlite_errorcode", 0) & _PRIMARY_CODE in _DAMAGED:
            raise OutputError(_recovery(path, exc)) from exc
        raise OutputError(f"{path} can't be used ({exc}); what was committed is safe, fix that and run again") from exc


def _recovery(path: Path, exc: sqlite3.Error) -> str:
    """Say how a damaged database is saved: by SQLite's own command, or by the copy that a migration left."""
    copies = ", ".join(copy.name for copy in sorted(path.parent.glob(f"{path.name}.layout-?")))
    older = f", or go back to the copy beside it ({copies}), which lacks later answers" if copies else ""
    return (
        f"{path} is damaged ({exc}), and holds every answer that was paid for. Keep a copy of it, save what can be "
        f"read with: sqlite3 {path.name} .recover | sqlite3 recovered.db, and put that in its place{older}"
    )


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield `items` in lists of up to `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def marks(values: Iterable[object]) -> str:
    """Return a question mark for each value, for a list in SQL."""
    return ",".join("?" for _ in values)
