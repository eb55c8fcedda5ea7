"""Checkpoints: lines of the manifest of which every row has its line in the output.

While their text, their settings and their pictures are what they were, the next run passes over them unread. A
checkpoint is dropped as soon as one of its rows is written again, put back, or forgotten.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import inf

import orjson
import zstandard

from pipeline.state.database import StateDatabase

_FILE_STAMP = struct.Struct("<qqqQ")
_NO_PICTURE = b"\xff" * _FILE_STAMP.size
_NAMES_LEVEL = 3
_LAST = "last checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint; the columns of the table `checkpoints` (migrations.py) explain each field."""

    id: int
    line: int
    lines: int
    rows: int
    digest: bytes
    done: int = 0
    failed: bytes = b"{}"
    asked_at: float = inf
    pictures: bytes = b""
    file_stamps: bytes = b""

    def has_its_pictures(self, root: str) -> bool:
        """Return True if each local picture below `root` is the file it was, unchanged."""
        if not self.pictures:
            return True
        names = zstandard.ZstdDecompressor().decompress(self.pictures).decode("utf-8", "surrogateescape").split("\0")
        return self.file_stamps == digest_stamps(file_stamp(f"{root}/{name}") for name in names[:-1])

    def failures(self) -> Counter[str]:
        """Return its failed rows by code."""
        return Counter(orjson.loads(self.failed))

    def counting(self, done: Sequence[float], failed: Sequence[str]) -> Checkpoint:
        """Return the checkpoint with more rows: when those with a record were asked, and the codes of the others."""
        codes = self.failures() + Counter(failed)
        asked_at = min([self.asked_at, *done])
        return replace(self, done=self.done + len(done), failed=orjson.dumps(codes), asked_at=asked_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCheckpoint:
    """A checkpoint that waits for so many rows.

    `moved` are rows that were done before, number and line; `left` are the checkpoints they belonged to.
    """

    checkpoint: Checkpoint
    waiting: int
    moved: Sequence[tuple[int, int]] = ()
    left: frozenset[int] = frozenset()


def file_stamp(path: str | os.PathLike[str]) -> bytes:
    """Return size, times and inode of a local picture, 32 bytes: unchanged, it is not even opened again.

    `rsync -t` and editors that write in place can leave size and modification time as they were; the time of the last
    change of the inode, or its number, is another one then. Up to layout 3, databases of earlier versions hold size and
    modification time only, 16 bytes: such a picture is read once more, and its stored answer is used.
    """
    try:
        stat = os.stat(path)  # noqa: PTH116 - Path.stat takes twice as long, a million times
    except OSError:
        return b""
    return _FILE_STAMP.pack(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def digest_stamps(file_stamps: Iterable[bytes]) -> bytes:
    """Return 16 bytes for the file stamps of several pictures, in order."""
    return blake2b(b"".join(stamp or _NO_PICTURE for stamp in file_stamps), digest_size=16).digest()


def pack_names(names: Sequence[str]) -> bytes:
    """Return the names of pictures as the table keeps them."""
    joined = "".join(f"{name}\0" for name in names).encode("utf-8", "surrogateescape")
    return zstandard.ZstdCompressor(_NAMES_LEVEL).compress(joined) if joined else b""


_COLUMNS = tuple(Checkpoint.__dataclass_fields__)
_NAMES = ", ".join(_COLUMNS)


def read_checkpoints(connection: sqlite3.Connection, line: int, count: int) -> list[Checkpoint]:
    """Return the next `count` checkpoints that begin at `line` or below."""
    sql = f"SELECT {_NAMES} FROM checkpoints WHERE line >= ? ORDER BY line LIMIT ?"  # noqa: S608 - fixed names
    return [Checkpoint(**dict(zip(_COLUMNS, row, strict=True))) for row in connection.execute(sql, (line, count))]


def drop_checkpoints(writer: sqlite3.Connection, rows: str, values: Sequence[object]) -> None:
    """Drop the checkpoints of the rows that the condition `rows` selects; `values` are for its question marks."""
    writer.execute(f"DELETE FROM checkpoints WHERE id IN (SELECT checkpoint FROM rows WHERE {rows})", values)  # noqa: S608 - fixed text


def write_checkpoint(writer: sqlite3.Connection, complete: OpenCheckpoint) -> None:
    """Write a complete checkpoint in place of those that began within its lines.

    Its rows that were done before belong to it from now on.
    """
    checkpoint = complete.checkpoint
    writer.executemany("DELETE FROM checkpoints WHERE id = ?", [(left,) for left in complete.left])
    moves = [(line, checkpoint.id, number) for number, line in complete.moved]
    writer.executemany("UPDATE rows SET line = ?, checkpoint = ? WHERE number = ?", moves)
    end = checkpoint.line + checkpoint.lines
    writer.execute("DELETE FROM checkpoints WHERE line >= ? AND line < ?", (checkpoint.line, end))
    sql = f"INSERT INTO checkpoints ({_NAMES}) VALUES ({', '.join('?' for _ in _COLUMNS)})"  # noqa: S608 - fixed names
    writer.execute(sql, [getattr(checkpoint, name) for name in _COLUMNS])


def last_checkpoint(database: StateDatabase) -> int:
    """Return the highest id that a checkpoint was given."""
    return database.number(_LAST)


def note_checkpoints(database: StateDatabase, ids: Iterable[int]) -> None:
    """Keep that these ids are given."""
    database.set_number(_LAST, max([last_checkpoint(database), *ids]))
