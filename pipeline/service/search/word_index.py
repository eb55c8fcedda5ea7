"""Searches the catalogue by words and filters: a full-text index in memory, built by the first search.

The text in the pictures is added as it is read.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.service.findings import Engine, Item
from pipeline.service.search.color_names import is_monochrome, name_color
from pipeline.service.search.query import NumberRange, SearchFilters, SearchQuery
from pipeline.service.text.store import TextStore

# The ratio of the sides from which a picture no longer looks square; the reference gives no number.
MIN_OBLONG_RATIO = 1.15
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
_INSERT_FACTS = "INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_WORDS = "INSERT INTO words (rowid, title, labels, text, written) VALUES (?, ?, ?, ?, ?)"
# A contentless index must be given the words that it is to delete.
_DELETE_WORDS = "INSERT INTO words (words, rowid, title, labels, text, written) VALUES ('delete', ?, ?, ?, ?, '')"
# Titles in a text: titles of one word are in too many texts by chance; the query is limited to so many words, and its
# result to so many titles.
_MIN_TITLE_WORDS, _MAX_WORDS, _MAX_TITLES = 2, 200, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHits:
    """One page of a search's rows, and the total number of rows."""

    items: tuple[Item, ...]
    total: int


class WordIndex:
    """The words of every row with a picture; safe to share between threads."""

    def __init__(self, engine: Engine, texts: TextStore | None = None) -> None:
        self._engine = engine
        self._texts = texts
        self._last_text = 0
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def load(self) -> None:
        """Build the index now, so that the first search does not have to."""
        self._read("SELECT number FROM facts LIMIT 1", ())

    def search(self, query: SearchQuery) -> SearchHits:
        """Return the rows with all words, the best first, or if there are none, those with any of the words."""
        numbers = self._find(query, "AND") or self._find(query, "OR")
        if query.first_id is not None:
            first = self.numbers([query.first_id])
            numbers = [*first, *(number for number in numbers if number not in first)] if numbers else numbers
        page = numbers[query.page.offset : query.page.offset + query.page.count]
        return SearchHits(items=tuple(self._engine.items(page)), total=len(numbers))

    def items(self, ids: Sequence[str]) -> list[Item]:
        """Return the rows with these ids, in their order; unknown ids are left out."""
        return list(self._engine.items(self.numbers(ids)))

    def numbers(self, ids: Sequence[str]) -> list[int]:
        """Return the numbers of the rows with these ids, in their order; unknown ids are left out."""
        rows = [self._read("SELECT number FROM facts WHERE id = ?", (each,)) for each in ids]
        return [number for matches in rows for (number,) in matches]

    def titles_in(self, text: str) -> tuple[str, ...]:
        """Return the titles of the catalogue whose words are all in a text, those with most words first."""
        text_words = dict.fromkeys(map(str.casefold, _WORD.findall(text)))
        match = " OR ".join(f'"{word}"' for word in list(text_words)[:_MAX_WORDS] if len(word) > 2)
        query = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY bm25(words, 1, 0, 0, 0), rowid LIMIT ?"
        rows = self._read(query, (f"title : ({match})", _MAX_TITLES)) if match else []
        titles = {item.title: _title_words(item) for item in self._engine.items([n for (n,) in rows]) if item.title}
        complete = [
            title for title, words in titles.items() if len(words) >= _MIN_TITLE_WORDS and words <= text_words.keys()
        ]
        return tuple(sorted(complete, key=lambda title: -len(titles[title])))

    def _find(self, query: SearchQuery, operator: str) -> list[int]:
        clauses, values = _where(query.filters)
        words = _WORD.findall(query.words)
        if not words:
            sql = f"SELECT number FROM facts f WHERE {clauses} ORDER BY number"  # noqa: S608 - clauses are ours
            return [number for (number,) in self._read(sql, values)]
        match = f" {operator} ".join(f'"{word}"*' for word in words)
        sql = (
            "SELECT f.number FROM words JOIN facts f ON f.number = words.rowid"  # noqa: S608 - clauses are ours
            f" WHERE words MATCH ? AND {clauses} ORDER BY bm25(words, 4, 2, 1, 1), f.number"
        )
        return [number for (number,) in self._read(sql, (match, *values))]

    def _read(self, sql: str, values: Sequence[object]) -> list[tuple[int]]:
        with self._lock:
            if self._db is None:
                self._db = _build(self._engine.items())
            self._add_new_texts(self._db)
            return self._db.execute(sql, values).fetchall()

    def _add_new_texts(self, db: sqlite3.Connection) -> None:
        """Add the texts that were read since the last search to the rows with these pictures."""
        for number, sha256, text in self._texts.since(self._last_text) if self._texts is not None else ():
            rows = [row for (row,) in db.execute("SELECT number FROM facts WHERE sha256 = ?", (sha256,))]
            for item in self._engine.items(rows):
                db.execute(_DELETE_WORDS, (item.number, *_columns(item)))
                db.execute(_INSERT_WORDS, (item.number, *_columns(item), text))
            self._last_text = number


def _title_words(item: Item) -> frozenset[str]:
    return frozenset(map(str.casefold, _WORD.findall(item.title or "")))


def _columns(item: Item) -> tuple[str, str, str]:
    return item.title or item.id, " ".join(_labels(item)), item.description or ""


def _build(items: Iterable[Item]) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", check_same_thread=False)
    db.executescript(_SCHEMA)
    for item in items:
        if item.token is not None:
            db.execute(_INSERT_FACTS, _facts(item))
            db.execute(_INSERT_WORDS, (item.number, *_columns(item), ""))
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
    """Return the values of the color filter that match: the accent, the largest colour, and colour or monochrome."""
    codes = [code for code, _ in item.dominant_colors]
    tone = "Monochrome" if is_monochrome(codes) else "ColorOnly"
    return {tone, *(name_color(code) for code in [*codes[:1], *filter(None, [item.accent_color])])}


def _where(filters: SearchFilters) -> tuple[str, tuple[object, ...]]:
    clauses = [*_within("width", filters.width), *_within("height", filters.height), *_within("bytes", filters.bytes)]
    clauses += [*_size_and_aspect(filters), *_days(filters)]
    if filters.color:
        clauses.append(("' ' || f.colors || ' ' LIKE ?", f"% {filters.color} %"))
    if filters.site:
        site = filters.site.removeprefix("www.")
        clauses.append(("'.' || f.site LIKE ?", f"%.{site}"))
    conditions = [clause for clause, _ in clauses] + (["f.priced"] if filters.priced else [])
    return " AND ".join(conditions) or "1", tuple(value for _, value in clauses)


def _within(column: str, bounds: NumberRange) -> Iterator[tuple[str, object]]:
    if bounds.low is not None:
        yield f"f.{column} >= ?", bounds.low
    if bounds.high is not None:
        yield f"f.{column} <= ?", bounds.high


def _size_and_aspect(filters: SearchFilters) -> Iterator[tuple[str, object]]:
    """Translate size and aspect (Image Search reference: small is under 200 x 200, large from 500 x 500)."""
    if filters.size == "Small":
        yield "max(f.width, f.height) < ?", 200
    if filters.size == "Medium":
        yield "max(f.width, f.height) >= ?", 200
        yield "min(f.width, f.height) < ?", 500
    if filters.size == "Large":
        yield "min(f.width, f.height) >= ?", 500
    oblong = {"Wide": "f.width >= f.height * ?", "Tall": "f.height >= f.width * ?"}
    if filters.aspect in oblong:
        yield oblong[filters.aspect], MIN_OBLONG_RATIO
    if filters.aspect == "Square":
        yield "max(f.width, f.height) < min(f.width, f.height) * ?", MIN_OBLONG_RATIO


def _days(filters: SearchFilters) -> Iterator[tuple[str, object]]:
    if filters.since is not None:
        yield "f.day >= ?", filters.since.isoformat()
    if filters.until is not None:
        yield "f.day != '' AND f.day <= ?", filters.until.isoformat()
