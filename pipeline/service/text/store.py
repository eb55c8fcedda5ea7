"""Stores the text that was read, by the content of the picture: a read takes half a second, and pictures recur."""

from __future__ import annotations

import logging
import sqlite3
import threading
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from pipeline.errors import OutputError, ServiceError
from pipeline.guards.private_files import private_database
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.findings import Crop
from pipeline.service.text.recognised_text import Point, Quad, RecognisedText, TextLine, TextRegion, TextWord

# Changes whenever the same picture would be read differently.
ALGORITHM = "1"
# The number of temporary texts that are kept, the newest ones; one takes 1 to 40 KB with its boxes.
MAX_TEMPORARY = 200_000
log = logging.getLogger("pipeline.service")
_DELETE_OLDEST = (
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
    """Return the version of the algorithm and of the package with the models; "" if it is not installed."""
    try:
        return f"{ALGORITHM} rapidocr {version('rapidocr')}"
    except PackageNotFoundError:
        return ""


class TextStore:
    """Texts in one SQLite file, or in memory without a `path`; safe to share between threads and processes.

    Texts that another version has read are deleted. Raises ServiceError if the file can't be used.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(private_database(path), check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)
            self._db.execute("DELETE FROM texts WHERE version != ?", (reader_version(),))
            self._db.execute("DELETE FROM passing WHERE number NOT IN (SELECT number FROM texts)")
        except (sqlite3.Error, OutputError) as exc:
            raise ServiceError(f"{path}: the texts can't be stored there ({exc}); delete the file") from exc

    def get(self, sha256: str, crop: Crop = WHOLE) -> RecognisedText | None:
        """Return the text of a part of a picture; None if it is not stored, or the file can't be read."""
        try:
            rows = self._fetch("SELECT regions FROM texts WHERE sha256 = ? AND crop = ?", (sha256, _crop_key(crop)))
        except sqlite3.Error as exc:  # a damaged file, for example: the picture will be read again
            log.warning("a stored text can't be read: %s", exc)
            return None
        return _load(rows[0][0]) if rows else None

    def put(self, sha256: str, crop: Crop, text: RecognisedText, *, permanent: bool = True) -> None:
        """Store a text on disk unless there is one; of those that are not `permanent`, only the newest are kept."""
        row = (sha256, _crop_key(crop), reader_version(), text.full, orjson.dumps(text.regions))
        query = "INSERT OR IGNORE INTO texts (sha256, crop, version, words, regions) VALUES (?, ?, ?, ?, ?)"
        try:
            with self._lock:
                inserted = self._db.execute(query, row)
                if inserted.rowcount and not permanent:
                    self._mark_temporary(inserted.lastrowid)
        except sqlite3.Error as exc:  # a full disk, for example: the picture will be read again
            log.warning("a text can't be stored: %s", exc)

    def since(self, number: int) -> list[tuple[int, str, str]]:
        """Return (number, sha256, text) of the whole pictures with text that were stored after this number."""
        query = "SELECT number, sha256, words FROM texts WHERE crop = '' AND words != '' AND number > ? ORDER BY number"
        return self._fetch(query, (number,))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _mark_temporary(self, number: int | None) -> None:
        """Mark a text as temporary, and delete the oldest temporary ones."""
        self._db.execute("INSERT INTO passing VALUES (?)", (number,))
        for query in _DELETE_OLDEST:
            self._db.execute(query, (MAX_TEMPORARY,))

    def _fetch(self, query: str, values: tuple[object, ...]) -> list[Any]:
        with self._lock:
            return self._db.execute(query, values).fetchall()


def _crop_key(crop: Crop) -> str:
    return "" if crop == WHOLE else " ".join(map(repr, crop))


def _load(regions: bytes) -> RecognisedText:
    return RecognisedText(regions=tuple(map(_region, orjson.loads(regions))))


def _region(source: dict[str, Any]) -> TextRegion:
    return TextRegion(box=_quad(source["box"]), lines=tuple(map(_line, source["lines"])))


def _line(source: dict[str, Any]) -> TextLine:
    words = (TextWord(text=word["text"], box=_quad(word["box"])) for word in source["words"])
    return TextLine(text=source["text"], box=_quad(source["box"]), words=tuple(words))


def _quad(source: list[list[float]]) -> Quad:
    first, second, third, fourth = map(_point, source)
    return first, second, third, fourth


def _point(source: list[float]) -> Point:
    x, y = source
    return x, y
