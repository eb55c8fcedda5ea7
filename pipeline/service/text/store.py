"""Keeps what was read, by the content of the picture: reading costs half a second, and pictures come again."""

from __future__ import annotations

import logging
import sqlite3
import threading
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from pipeline.errors import ServiceError
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.findings import Crop
from pipeline.service.text.values import Line, Point, Quad, Region, Text, Word

# Changes whenever the same picture would be read differently.
ALGORITHM = "1"
# Of what does not belong to the catalogue, so many are kept, the newest; with boxes, one takes 1 to 40 KB.
MOST_PASSING = 200_000
log = logging.getLogger("pipeline.service")
_FORGET = (
    "DELETE FROM texts WHERE number IN (SELECT number FROM passing ORDER BY number DESC LIMIT -1 OFFSET ?)",
    "DELETE FROM passing WHERE number IN (SELECT number FROM passing ORDER BY number DESC LIMIT -1 OFFSET ?)",
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS texts (
    number INTEGER PRIMARY KEY AUTOINCREMENT, sha256 TEXT NOT NULL, crop TEXT NOT NULL, version TEXT NOT NULL,
    words TEXT NOT NULL, regions BLOB NOT NULL, UNIQUE (sha256, crop));
CREATE TABLE IF NOT EXISTS passing (number INTEGER PRIMARY KEY);
CREATE INDEX IF NOT EXISTS texts_whole ON texts (number) WHERE crop = '' AND words != '';
"""


def reader_version() -> str:
    """Name the algorithm and the package whose models read; "" stands for no package."""
    try:
        return f"{ALGORITHM} rapidocr {version('rapidocr')}"
    except PackageNotFoundError:
        return ""


class TextStore:
    """The texts in one SQLite file, or in memory without a `path`; safe to share between threads and processes.

    What another version has read is forgotten. Raises ServiceError where the file can't be used.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)
            self._db.execute("DELETE FROM texts WHERE version != ?", (reader_version(),))
            self._db.execute("DELETE FROM passing WHERE number NOT IN (SELECT number FROM texts)")
        except sqlite3.Error as exc:
            raise ServiceError(f"{path}: the texts can't be kept there ({exc}); delete the file") from exc

    def get(self, sha256: str, crop: Crop = WHOLE) -> Text | None:
        """Return what was read in a part of a picture; None where it has not been read yet, or can't be had."""
        try:
            rows = self._do("SELECT regions FROM texts WHERE sha256 = ? AND crop = ?", (sha256, _name(crop)))
        except sqlite3.Error as exc:  # a damaged file, say: the picture will be read again
            log.warning("a text that was kept can't be had: %s", exc)
            return None
        return _load(rows[0][0]) if rows else None

    def put(self, sha256: str, crop: Crop, text: Text, *, lasting: bool = True) -> None:
        """Keep what was read, at once on disk; what was kept first stays, but of what is not `lasting` the newest."""
        row = (sha256, _name(crop), reader_version(), text.full, orjson.dumps(text.regions))
        query = "INSERT OR IGNORE INTO texts (sha256, crop, version, words, regions) VALUES (?, ?, ?, ?, ?)"
        try:
            with self._lock:
                kept = self._db.execute(query, row)
                if kept.rowcount and not lasting:
                    self._pass(kept.lastrowid)
        except sqlite3.Error as exc:  # a full disk, say: the picture will be read again
            log.warning("a text can't be kept: %s", exc)

    def since(self, number: int) -> list[tuple[int, str, str]]:
        """Return (number, sha256, words) of whole pictures with text that were kept after the one of this number."""
        query = "SELECT number, sha256, words FROM texts WHERE crop = '' AND words != '' AND number > ? ORDER BY number"
        return self._do(query, (number,))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _pass(self, number: int | None) -> None:
        """Note that a text is one of the passing ones, and let the oldest of them go."""
        self._db.execute("INSERT INTO passing VALUES (?)", (number,))
        for forget in _FORGET:
            self._db.execute(forget, (MOST_PASSING,))

    def _do(self, query: str, values: tuple[object, ...]) -> list[Any]:
        with self._lock:
            return self._db.execute(query, values).fetchall()


def _name(crop: Crop) -> str:
    return "" if crop == WHOLE else " ".join(map(repr, crop))


def _load(regions: bytes) -> Text:
    return Text(regions=tuple(map(_region, orjson.loads(regions))))


def _region(source: dict[str, Any]) -> Region:
    return Region(box=_quad(source["box"]), lines=tuple(map(_line, source["lines"])))


def _line(source: dict[str, Any]) -> Line:
    words = (Word(text=word["text"], box=_quad(word["box"])) for word in source["words"])
    return Line(text=source["text"], box=_quad(source["box"]), words=tuple(words))


def _quad(source: list[list[float]]) -> Quad:
    first, second, third, fourth = map(_point, source)
    return first, second, third, fourth


def _point(source: list[float]) -> Point:
    x, y = source
    return x, y
