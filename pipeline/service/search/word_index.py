"""Searches the catalogue by words and filters: a full-text index in memory, built by the first search.

The text in the pictures is added as it is read.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

import orjson

from pipeline.service.findings import Engine, Item
from pipeline.service.refusals import invalid
from pipeline.service.search.color_names import is_monochrome, name_color
from pipeline.service.search.conditions import Condition, all_of, expression_condition, filter_conditions, match_text
from pipeline.service.search.expression import Expression, Group, relax, texts
from pipeline.service.search.query import SearchQuery
from pipeline.service.text.store import TextStore

_WORD = re.compile(r"\w+")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2})?")
_SCHEMA = """
CREATE VIRTUAL TABLE words USING fts5(
    title, labels, text, written, content='', tokenize="unicode61 remove_diacritics 2");
CREATE TABLE facts (
    number INTEGER PRIMARY KEY, id TEXT, sha256 TEXT, site TEXT, width INTEGER, height INTEGER, bytes INTEGER,
    priced INTEGER, moment TEXT, colors TEXT, path TEXT, format TEXT, license TEXT, adult INTEGER, animated INTEGER,
    is_https INTEGER, transparent INTEGER);
CREATE INDEX facts_id ON facts (id);
CREATE INDEX facts_sha256 ON facts (sha256);
"""
_INSERT_FACTS = f"INSERT INTO facts VALUES ({', '.join('?' * 17)})"  # noqa: S608 - only marks
# The weights are those of the columns: a word in the title counts most.
_RANKED = "SELECT rowid AS number, bm25(words, 4, 2, 1, 1) AS rank FROM words WHERE words MATCH ?"
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
        """Return the rows that match, the best first, or if there are none, those with any of the words.

        Where no row has a licence, Any lets all through, and other licences raise Refused.
        """
        filters = query.filters
        if filters.license is not None and not self.knows("license"):
            if filters.license != "Any":
                raise invalid("license", filters.license, "no row of the catalogue has a license")
            filters = replace(filters, license=None)
        numbers = self._find(query.expression, filter_conditions(filters))
        if query.first_id is not None:
            first = self.numbers([query.first_id])
            numbers = [*first, *(number for number in numbers if number not in first)] if numbers else numbers
        page = numbers[query.page.offset : query.page.offset + query.page.count]
        return SearchHits(items=tuple(self._engine.items(page)), total=len(numbers))

    def matching(self, expression: Expression, numbers: Sequence[int]) -> frozenset[int]:
        """Return those of the rows with these numbers that match, or if none do, those with any of the words."""
        among = [("f.number IN (SELECT value FROM json_each(?))", (orjson.dumps(numbers).decode(),))]
        return frozenset(self._find(expression, among))

    def knows(self, column: Literal["license", "adult"]) -> bool:
        """Return True if any row says something in this column."""
        return bool(self._read(f"SELECT number FROM facts WHERE {column} IS NOT NULL LIMIT 1", ()))  # noqa: S608 - ours

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

    def _find(self, expression: Expression | None, conditions: Sequence[Condition]) -> list[int]:
        """Return the numbers of the rows that match, the best first, or if none do, of those with any of the words."""
        numbers = self._find_exactly(expression, conditions)
        if not numbers and (relaxed := relax(expression)) is not None:
            numbers = self._find_exactly(relaxed, conditions)
        return numbers

    def _find_exactly(self, expression: Expression | None, conditions: Sequence[Condition]) -> list[int]:
        """Return the numbers of the rows that match; the words that may match decide on their order."""
        wanted_rows = [expression_condition(expression)] if expression is not None else []
        where, values = all_of([*wanted_rows, *conditions])
        sql = f"SELECT f.number FROM facts f WHERE {where} ORDER BY f.number"  # noqa: S608 - conditions are ours
        if wanted := texts(expression):
            values = (match_text(Group(operator="OR", parts=wanted)), *values)
            sql = (
                f"SELECT f.number FROM facts f LEFT JOIN ({_RANKED}) r ON r.number = f.number"  # noqa: S608 - as above
                f" WHERE {where} ORDER BY r.rank IS NULL, r.rank, f.number"
            )
        return [number for (number,) in self._read(sql, values)]

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
    moment = _MOMENT.match(item.published or item.updated or "")
    size = item.width, item.height, item.bytes
    site = (item.site or "").removeprefix("www.") or None
    path = urlsplit(item.page_url or "").path if site else ""
    when = moment[0] if moment else ""
    facts = item.price is not None, when, " ".join(_colors(item)), path, (item.format or "").lower()
    is_https = (item.content_url or "").lower().startswith("https://")
    kind = item.license, item.adult, item.animated, is_https, item.transparent
    return item.number, item.id, item.sha256, site, *size, *facts, *kind


def _labels(item: Item) -> Iterator[str]:
    yield from item.tags
    yield item.category or ""
    yield item.seller or ""


def _colors(item: Item) -> set[str]:
    """Return the values of the color filter that match: the accent, the largest colour, and colour or monochrome."""
    codes = [code for code, _ in item.dominant_colors]
    accent = [item.accent_color] if item.accent_color else []
    tone = "Monochrome" if is_monochrome([*codes, *accent]) else "ColorOnly"
    return {tone, *map(name_color, [*codes[:1], *accent])}
