"""Spans: lines of the manifest of which every row has its line in the output.

While their text, their settings and their pictures are what they were, the next run passes over them unread. A span is
dropped as soon as one of its rows is written anew, put back, or forgotten.
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

_STAMP = struct.Struct("<qq")
_NO_PICTURE = b"\xff" * _STAMP.size
_NAMES_LEVEL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A span; the columns of the table `spans` (database.py) explain each field."""

    id: int
    line: int
    lines: int
    rows: int
    digest: bytes
    done: int = 0
    failed: bytes = b"{}"
    asked_at: float = inf
    pictures: bytes = b""
    stamps: bytes = b""

    def has_its_pictures(self, root: str) -> bool:
        """Tell whether each local picture below `root` has the size and the time it had."""
        if not self.pictures:
            return True
        names = zstandard.ZstdDecompressor().decompress(self.pictures).decode("utf-8", "surrogateescape").split("\0")
        return self.stamps == digest_stamps(stamp(f"{root}/{name}") for name in names[:-1])

    def failures(self) -> Counter[str]:
        """Return its failed rows by code."""
        return Counter(orjson.loads(self.failed))

    def counting(self, done: Sequence[float], failed: Sequence[str]) -> Checkpoint:
        """Return the span with more rows: when the answers of those with a record are from, the codes of the others."""
        codes = self.failures() + Counter(failed)
        asked_at = min([self.asked_at, *done])
        return replace(self, done=self.done + len(done), failed=orjson.dumps(codes), asked_at=asked_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCheckpoint:
    """A span to be: it waits for so many rows.

    `moved` are rows that were done before, number and line; `left` are the spans they stood in.
    """

    span: Checkpoint
    waiting: int
    moved: Sequence[tuple[int, int]] = ()
    left: frozenset[int] = frozenset()


def stamp(path: str | os.PathLike[str]) -> bytes:
    """Return size and modification time of a local picture: unchanged, it is not even opened again."""
    try:
        found = os.stat(path)  # noqa: PTH116 - Path.stat takes twice as long, a million times
    except OSError:
        return b""
    return _STAMP.pack(found.st_size, found.st_mtime_ns)


def digest_stamps(stamps: Iterable[bytes]) -> bytes:
    """Return 16 bytes for the stamps of several pictures, in order."""
    return blake2b(b"".join(found or _NO_PICTURE for found in stamps), digest_size=16).digest()


def pack_names(names: Sequence[str]) -> bytes:
    """Return the names of pictures as the table keeps them."""
    joined = "".join(f"{name}\0" for name in names).encode("utf-8", "surrogateescape")
    return zstandard.ZstdCompressor(_NAMES_LEVEL).compress(joined) if joined else b""


_COLUMNS = tuple(Checkpoint.__dataclass_fields__)
_NAMES = ", ".join(_COLUMNS)


def read_spans(connection: sqlite3.Connection, line: int, count: int) -> list[Checkpoint]:
    """Return the next `count` spans that begin at `line` or below."""
    sql = f"SELECT {_NAMES} FROM spans WHERE line >= ? ORDER BY line LIMIT ?"  # noqa: S608 - fixed names
    return [Checkpoint(**dict(zip(_COLUMNS, found, strict=True))) for found in connection.execute(sql, (line, count))]


def write_span(connection: sqlite3.Connection, span: Checkpoint) -> None:
    """Write a span in place of those that began within its lines."""
    connection.execute("DELETE FROM spans WHERE line >= ? AND line < ?", (span.line, span.line + span.lines))
    sql = f"INSERT INTO spans ({_NAMES}) VALUES ({', '.join('?' for _ in _COLUMNS)})"  # noqa: S608 - fixed names
    connection.execute(sql, [getattr(span, name) for name in _COLUMNS])
