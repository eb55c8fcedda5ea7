"""A finished index, opened for reading: arrays of features (npy) and the catalogue's rows (SQLite).

An index folder has generations, each complete and immutable, and the file `current` with the name of the one in use.
A generation that is replaced while it is read stays readable: its files are mapped or open.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from mmap import MADV_DONTNEED, mmap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from pipeline.errors import ServiceError
from pipeline.guards.private_files import private_database
from pipeline.service.engine.analysis import ALGORITHM, read_facts
from pipeline.service.engine.color import Bytes, Floats
from pipeline.service.engine.descriptors import Features, HashWords
from pipeline.service.engine.items import item_from_fields
from pipeline.service.findings import Item

CURRENT = "current"
LEFT_OUT = "left_out"  # in meta: how many rows have text in a column that is not of the column's form
DATABASE = "catalogue.db"
HASHES, DESCRIPTORS, THUMBS = "hashes.npy", "descriptors.npy", "thumbs.npy"
# Only if the catalogue was indexed with an embedding model.
EMBEDDINGS = "embeddings.npy"
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pictures (slot INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, facts BLOB NOT NULL);
CREATE TABLE items (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, image TEXT NOT NULL, page_url TEXT, content_url TEXT,
    token TEXT UNIQUE, sha256 TEXT, slot INTEGER, fields BLOB NOT NULL,
    file TEXT, size INTEGER, mtime_ns INTEGER);
CREATE TABLE skipped (line INTEGER NOT NULL, id TEXT NOT NULL, image TEXT NOT NULL, reason TEXT NOT NULL);
"""
KEYS = """
CREATE INDEX items_slot ON items (slot);
CREATE INDEX items_image ON items (image);
CREATE INDEX items_page ON items (page_url);
CREATE INDEX items_content ON items (content_url);
CREATE INDEX items_file ON items (file);
"""
# The slots whose rows are kept decoded: the same similar pictures are requested again and again.
CACHED_SLOTS = 20_000
# The thumbnails that are read before their memory is released; with the pages around them they take at most 64 MB.
RELEASE_THUMBS_EVERY = 1000
BATCH = 500
BLOCK = 1024
_NO_EMBEDDINGS: Floats = np.zeros((0, 0), dtype=np.float32)


class IndexedFile(NamedTuple):
    """The whole real path of a picture's file, its size and its SHA-256."""

    path: str
    size: int
    sha256: str


class CatalogueIndex:
    """One generation of an index; safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._db = connect(folder / DATABASE, read_only=True)
            self.meta = dict(self._db.execute("SELECT key, value FROM meta"))
            self.hashes: HashWords = np.load(folder / HASHES)
            self._hash_words: HashWords = np.ascontiguousarray(self.hashes.T)
            self.descriptors: Floats = np.load(folder / DESCRIPTORS, mmap_mode="r")
            self.thumbs: Bytes = np.load(folder / THUMBS, mmap_mode="r")
            self.embeddings: Floats = np.load(folder / EMBEDDINGS, mmap_mode="r") if self.model else _NO_EMBEDDINGS
        except (sqlite3.Error, OSError, ValueError) as exc:
            raise ServiceError(f"{folder}: the index can't be read ({exc}); delete it, and it is rebuilt") from exc
        self._thumbs_read = 0
        self._lock = threading.Lock()
        self._cache: dict[int, tuple[Item, ...]] = {}

    @property
    def model(self) -> str:
        """The key of the model that made the embeddings; "" without a model."""
        return str(self.meta.get("model", ""))

    @property
    def count(self) -> int:
        """The number of rows."""
        return int(self.meta["count"])

    @property
    def skipped(self) -> int:
        """The number of rows that have no readable picture, or the id of an earlier row."""
        return int(self._fetch("SELECT count(*) FROM skipped", ())[0][0])

    @property
    def left_out(self) -> dict[str, int]:
        """In how many rows a column has text that is not of its form, by column."""
        counts: dict[str, int] = orjson.loads(self.meta.get(LEFT_OUT, "{}"))
        return counts

    def skipped_rows(self) -> Iterator[dict[str, object]]:
        """Yield line, id, image and reason of each row without a usable picture, or with the id of an earlier row."""
        for line, key, image, reason in self._db.execute("SELECT line, id, image, reason FROM skipped ORDER BY line"):
            yield {"line": line, "id": key, "image": image, "reason": reason}

    def thumb(self, slot: int) -> Bytes:
        """Return a picture's thumbnail; only a few of those that were read stay in memory."""
        self._thumbs_read += 1
        if self._thumbs_read % RELEASE_THUMBS_EVERY == 0:
            _release(self.thumbs)
        return np.array(self.thumbs[slot])

    def features(self, slot: int) -> Features:
        """Return the features of a picture, upright."""
        return Features(
            phash=np.array(self.hashes[slot]), descriptor=np.array(self.descriptors[slot]), thumb=self.thumb(slot)
        )

    def release(self) -> None:
        """Release the memory of the arrays' pages; they are read again when they are needed."""
        for array in (self.descriptors, self.thumbs, self.embeddings):
            _release(array)

    def close(self) -> None:
        """Close the database; the arrays are released with the object."""
        self._db.close()

    def items(self, slot: int) -> tuple[Item, ...]:
        """Return the rows that show the picture in `slot`, in the catalogue's order."""
        if (cached := self._cache.get(slot)) is not None:
            return cached
        rows = tuple(self._items("i.slot = ?", (slot,)))
        if len(self._cache) < CACHED_SLOTS:
            self._cache[slot] = rows
        return rows

    def find_item(self, column: str, value: str) -> Item | None:
        """Return the first row with this value in `column` (image, page_url, content_url, token)."""
        return next(iter(self._items(f"i.{column} = ?", (value,), limit=1)), None)

    def rows(self, numbers: Sequence[int] | None = None) -> Iterator[Item]:
        """Yield all rows in the catalogue's order, or those of `numbers` in their order; reads small batches."""
        for first in range(0, self.count if numbers is None else len(numbers), BATCH):
            wanted = range(first, first + BATCH) if numbers is None else numbers[first : first + BATCH]
            marks = ", ".join("?" * len(wanted))
            batch = {item.number: item for item in self._items(f"i.number IN ({marks})", tuple(wanted))}
            yield from (batch[number] for number in wanted if number in batch)

    def slot_of(self, sha256: str) -> int | None:
        """Return the slot of the picture with this content."""
        rows = self._fetch("SELECT slot FROM pictures WHERE sha256 = ?", (sha256,))
        return rows[0][0] if rows else None

    def file_of(self, token: str) -> IndexedFile | None:
        """Return the file of a row's picture, as it was when it was indexed."""
        rows = self._fetch("SELECT file, size, sha256 FROM items WHERE token = ?", (token,))
        return IndexedFile(*rows[0]) if rows else None

    def nearest(self, features: Sequence[Features], count: int, max_distance: int) -> npt.NDArray[np.intp]:
        """Return the slots of the `count` nearest hashes to each of the features, within `max_distance` bits."""
        near = [_smallest(self._distance(each.phash), count, max_distance) for each in features]
        return np.concatenate(near)

    def similarity(self, features: Iterable[Features]) -> Floats:
        """Return the cosine of every picture to each of the features: (features, pictures).

        Reads the descriptors once, in blocks that fit into the CPU cache: 1.5 x as fast as one product.
        """
        return _cosines(self.descriptors, [each.descriptor for each in features])

    def embedding_similarity(self, embedding: Floats) -> Floats:
        """Return the cosine of every picture's embedding to this one: (pictures,)."""
        cosines: Floats = _cosines(self.embeddings, [embedding])[0]
        return cosines

    def _distance(self, phash: HashWords) -> npt.NDArray[np.uint16]:
        distance = np.zeros(len(self.hashes), dtype=np.uint16)
        for words, word in zip(self._hash_words, phash, strict=True):
            distance += np.bitwise_count(words ^ word)
        return distance

    def _items(self, where: str, values: tuple[object, ...], limit: int = -1) -> list[Item]:
        rows = self._fetch(
            "SELECT i.number, i.fields, i.sha256, i.token, p.facts FROM items i LEFT JOIN pictures p USING (slot)"  # noqa: S608 - `where` is ours
            f" WHERE {where} ORDER BY i.number LIMIT ?",
            (*values, limit),
        )
        return [_item(*row) for row in rows]

    def _fetch(self, query: str, values: tuple[object, ...]) -> list[Any]:
        with self._lock:
            return self._db.execute(query, values).fetchall()


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a database; a read-only one never changes again, so it needs no locks."""
    if read_only:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    return sqlite3.connect(private_database(path), check_same_thread=False)


def open_current(index_dir: Path) -> CatalogueIndex | None:
    """Open the generation in use; None if there is none, or if an older algorithm made it."""
    for _ in range(3):  # a builder may replace it between the two reads
        try:
            name = (index_dir / CURRENT).read_text(encoding="utf-8").strip()
            index = CatalogueIndex(index_dir / name)
        except FileNotFoundError:
            return None
        except ServiceError:
            continue
        return index if index.meta.get("algorithm") == ALGORITHM else None
    return None


def _item(number: int, fields: bytes, sha256: str | None, token: str | None, facts: bytes | None) -> Item:
    item = item_from_fields(number, orjson.loads(fields))
    if facts is None:
        return item
    picture = read_facts(facts)
    return replace(
        item,
        sha256=sha256,
        token=token,
        width=picture.width,
        height=picture.height,
        bytes=picture.bytes,
        format=picture.format,
        accent_color=picture.accent_color,
        dominant_colors=picture.dominant_colors,
        animated=picture.animated,
        transparent=picture.transparent,
    )


def _release(array: npt.NDArray[Any]) -> None:
    pages: object = array.base
    if isinstance(pages, mmap):
        pages.madvise(MADV_DONTNEED)


def _cosines(rows: Floats, vectors: Sequence[Floats]) -> Floats:
    cosines = np.empty((len(vectors), len(rows)), dtype=np.float32)
    for first in range(0, len(rows), BLOCK):
        block = slice(first, first + BLOCK)
        for row, vector in zip(cosines, vectors, strict=True):
            np.dot(rows[block], vector, out=row[block])
    return cosines


def _smallest(values: npt.NDArray[np.uint16], count: int, limit: int) -> npt.NDArray[np.intp]:
    """Return the places of the `count` smallest values up to `limit`, in no order."""
    places = np.flatnonzero(values <= limit)
    return places if len(places) <= count else places[np.argpartition(values[places], count)[:count]]
