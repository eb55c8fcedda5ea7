"""Finds rows of the catalogue by words and filters: a full-text index in memory, made at the first search.

What is written in the pictures joins it as it is read.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.service.findings import Engine, Item
from pipeline.service.http.imagesearch import Bounds, Filters, Search
from pipeline.service.search.color_names import is_monochrome, name_color
from pipeline.service.text.store import TextStore

# Width : height from which a picture is no longer square to the eye; the reference names no number.
WIDE_FROM = 1.15
_WORD = re.compile(r"\w+")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_SCHEMA = """
CREATE VIRTUAL TABLE words USING fts5(
    title, labels, text, written, content='', tokenize="unicode61 remove_diacritics 2");
CREATE TABLE facts (
    number INTEGER PRIMARY KEY, id TEXT, sha256 TEXT, site TEXT, width INTEGER, height INTEGER, bytes INTEGER,
    priced INTEGER, day TEXT, colors TEXT);
CREATE INDEX facts_id ON facts (id);
CREATE INDEX facts_sha256 ON facts (sha256);
"""
_FACTS = "INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_WORDS = "INSERT INTO words (rowid, title, labels, text, written) VALUES (?, ?, ?, ?, ?)"
# An index without content is told what it forgets.
_FORGET = "INSERT INTO words (words, rowid, title, labels, text, written) VALUES ('delete', ?, ?, ?, ?, '')"
# Words that many titles hold are not looked up one by one; titles of one word stand in too many pictures by chance.
_LEAST_TITLE_WORDS, _MOST_WORDS, _MOST_TITLES = 2, 200, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """One page of a search's rows, and how many there are in all."""

    items: tuple[Item, ...]
    total: int


class WordIndex:
    """The words of every row with a picture; safe to share between threads."""

    def __init__(self, engine: Engine, texts: TextStore | None = None) -> None:
        self._engine = engine
        self._texts = texts
        self._heard = 0
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def load(self) -> None:
        """Make the index now; else the first search does, and waits for it."""
        self._read("SELECT number FROM facts LIMIT 1", ())

    def search(self, asked: Search) -> Hits:
        """Return the rows that hold all words, best first, or where there are none, those that hold any of them."""
        numbers = self._find(asked, "AND") or self._find(asked, "OR")
        if asked.first is not None:
            first = self.numbers([asked.first])
            numbers = [*first, *(number for number in numbers if number not in first)] if numbers else numbers
        start = asked.page.offset
        page = numbers[start : start + asked.page.count]
        return Hits(items=tuple(self._engine.items(page)), total=len(numbers))

    def items(self, ids: Sequence[str]) -> list[Item]:
        """Return the rows with these ids, in their order; unknown ids are left out."""
        return list(self._engine.items(self.numbers(ids)))

    def numbers(self, ids: Sequence[str]) -> list[int]:
        """Return the numbers of these ids, in their order; unknown ids are left out."""
        found = [self._read("SELECT number FROM facts WHERE id = ?", (each,)) for each in ids]
        return [number for rows in found for (number,) in rows]

    def titles_in(self, text: str) -> tuple[str, ...]:
        """Return titles of the catalogue all of whose words stand in a text, those with most words first."""
        spoken = dict.fromkeys(map(str.casefold, _WORD.findall(text)))
        match = " OR ".join(f'"{word}"' for word in list(spoken)[:_MOST_WORDS] if len(word) > 2)
        query = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY bm25(words, 1, 0, 0, 0), rowid LIMIT ?"
        rows = self._read(query, (f"title : ({match})", _MOST_TITLES)) if match else []
        titles = {item.title: _words_of(item) for item in self._engine.items([n for (n,) in rows]) if item.title}
        whole = [
            title for title, words in titles.items() if len(words) >= _LEAST_TITLE_WORDS and words <= spoken.keys()
        ]
        return tuple(sorted(whole, key=lambda title: -len(titles[title])))

    def _find(self, asked: Search, operator: str) -> list[int]:
        clauses, values = _where(asked.filters)
        words = _WORD.findall(asked.words)
        if not words:
            query = f"SELECT number FROM facts f WHERE {clauses} ORDER BY number"  # noqa: S608 - clauses are ours
            return [number for (number,) in self._read(query, values)]
        match = f" {operator} ".join(f'"{word}"*' for word in words)
        query = (
            "SELECT f.number FROM words JOIN facts f ON f.number = words.rowid"  # noqa: S608 - clauses are ours
            f" WHERE words MATCH ? AND {clauses} ORDER BY bm25(words, 4, 2, 1, 1), f.number"
        )
        return [number for (number,) in self._read(query, (match, *values))]

    def _read(self, query: str, values: Sequence[object]) -> list[tuple[int]]:
        with self._lock:
            if self._db is None:
                self._db = _build(self._engine.items())
            self._hear(self._db)
            return self._db.execute(query, values).fetchall()

    def _hear(self, db: sqlite3.Connection) -> None:
        """Add what has been read since the last search to the rows that show the picture."""
        for number, sha256, words in self._texts.since(self._heard) if self._texts is not None else ():
            rows = [row for (row,) in db.execute("SELECT number FROM facts WHERE sha256 = ?", (sha256,))]
            for item in self._engine.items(rows):
                db.execute(_FORGET, (item.number, *_columns(item)))
                db.execute(_WORDS, (item.number, *_columns(item), words))
            self._heard = number


def _words_of(item: Item) -> frozenset[str]:
    return frozenset(map(str.casefold, _WORD.findall(item.title or "")))


def _columns(item: Item) -> tuple[str, str, str]:
    return item.title or item.id, " ".join(_labels(item)), item.description or ""


def _build(items: Iterable[Item]) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", check_same_thread=False)
    db.executescript(_SCHEMA)
    for item in items:
        if item.token is not None:
            db.execute(_FACTS, _facts(item))
            db.execute(_WORDS, (item.number, *_columns(item), ""))
    return db


def _facts(item: Item) -> tuple[object, ...]:
    day = _DAY.match(item.published or item.updated or "")
    priced = item.price is not None
    colors = " ".join(_colors(item))
    size = item.width, item.height, item.bytes
    return item.number, item.id, item.sha256, item.site, *size, priced, day[0] if day else "", colors


def _labels(item: Item) -> Iterator[str]:
    yield from item.tags
    yield item.category or ""
    yield item.seller or ""


def _colors(item: Item) -> set[str]:
    """Name what the color filter can ask for: the accent, the largest colour, and whether there is any colour."""
    codes = [code for code, _ in item.dominant_colors]
    tone = "Monochrome" if is_monochrome(codes) else "ColorOnly"
    return {tone, *(name_color(code) for code in [*codes[:1], *filter(None, [item.accent_color])])}


def _where(filters: Filters) -> tuple[str, tuple[object, ...]]:
    clauses = [*_within("width", filters.width), *_within("height", filters.height), *_within("bytes", filters.bytes)]
    clauses += [*_shape(filters), *_days(filters)]
    if filters.color:
        clauses.append(("' ' || f.colors || ' ' LIKE ?", f"% {filters.color} %"))
    if filters.site:
        site = filters.site.removeprefix("www.")
        clauses.append(("'.' || f.site LIKE ?", f"%.{site}"))
    texts = [clause for clause, _ in clauses] + (["f.priced"] if filters.priced else [])
    return " AND ".join(texts) or "1", tuple(value for _, value in clauses)


def _within(column: str, bounds: Bounds) -> Iterator[tuple[str, object]]:
    if bounds.low is not None:
        yield f"f.{column} >= ?", bounds.low
    if bounds.high is not None:
        yield f"f.{column} <= ?", bounds.high


def _shape(filters: Filters) -> Iterator[tuple[str, object]]:
    """Translate size and aspect (reference 004: small is under 200 x 200, large from 500 x 500)."""
    if filters.size == "Small":
        yield "max(f.width, f.height) < ?", 200
    if filters.size == "Medium":
        yield "max(f.width, f.height) >= ?", 200
        yield "min(f.width, f.height) < ?", 500
    if filters.size == "Large":
        yield "min(f.width, f.height) >= ?", 500
    ratio = {"Wide": "f.width >= f.height * ?", "Tall": "f.height >= f.width * ?"}
    if filters.aspect in ratio:
        yield ratio[filters.aspect], WIDE_FROM
    if filters.aspect == "Square":
        yield "max(f.width, f.height) < min(f.width, f.height) * ?", WIDE_FROM


def _days(filters: Filters) -> Iterator[tuple[str, object]]:
    if filters.since is not None:
        yield "f.day >= ?", filters.since.isoformat()
    if filters.until is not None:
        yield "f.day != '' AND f.day <= ?", filters.until.isoformat()
