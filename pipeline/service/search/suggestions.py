"""Other searches that lead on from one: narrower ones, similar ones, and the same with another word in its place.

They come from the catalogue's tags and categories, and from the searches that others made. Only a search of plain words
has any: one with operators is narrow already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.service.engine.derived_insights import labels
from pipeline.service.findings import Item
from pipeline.service.search.expression import Group, parse, texts
from pipeline.service.search.query import PageRange, SearchQuery
from pipeline.service.search.query_log import QueryLog
from pipeline.service.search.word_index import SearchHits, WordIndex

MAX_EXPANSIONS, MAX_SUGGESTIONS, MAX_WORDS = 8, 5, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestedSearch:
    """A search, the part of it that is new, and the token of a picture that it finds."""

    text: str
    display: str
    token: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestions:
    """What leads on from a search; `pivots` are its words, each with searches that have another one in its place."""

    expansions: tuple[SuggestedSearch, ...] = ()
    similar: tuple[SuggestedSearch, ...] = ()
    pivots: tuple[tuple[str, tuple[SuggestedSearch, ...]], ...] = ()


def suggest(words: WordIndex, log: QueryLog, query: SearchQuery, hits: SearchHits) -> Suggestions:
    """Return what leads on from a search with these results; nothing for a further page, or with operators."""
    terms = _plain_words(query)
    if not terms or query.page.offset or not hits.items:
        return Suggestions()
    return Suggestions(
        expansions=tuple(_expand(query.text, terms, hits.items)),
        similar=tuple(_similar(words, log, query.text)),
        pivots=tuple(_pivots(words, terms)),
    )


def _plain_words(query: SearchQuery) -> tuple[str, ...]:
    wanted = texts(query.expression)
    is_plain = query.expression == wanted[0] if len(wanted) == 1 else _is_list(query)
    return tuple(" ".join(text.words) for text in wanted) if is_plain else ()


def _is_list(query: SearchQuery) -> bool:
    """Return True if words stand side by side, and nothing else."""
    expression = query.expression
    return isinstance(expression, Group) and expression.relaxed and expression.parts == texts(expression)


def _labels_of(items: Sequence[Item], terms: Sequence[str]) -> list[tuple[str, Item]]:
    """Return the labels of rows that are none of the terms, the most frequent first, each with its first row."""
    known = {term.casefold() for term in terms}
    rows: dict[str, Item] = {}
    counts: Counter[str] = Counter()
    for item in items:
        for label in labels(item):
            if label.casefold() not in known:
                rows.setdefault(label, item)
                counts[label] += 1
    return [(label, rows[label]) for label, _ in counts.most_common()]


def _expand(text: str, terms: Sequence[str], items: Sequence[Item]) -> Iterator[SuggestedSearch]:
    """Yield the search with one more word, which some but not all of its results have."""
    everywhere = set.intersection(*(set(labels(item)) for item in items))
    narrower = [(label, item) for label, item in _labels_of(items, terms) if label not in everywhere]
    for label, item in narrower[:MAX_EXPANSIONS]:
        yield SuggestedSearch(text=f"{text} {label}", display=label, token=item.token)


def _similar(words: WordIndex, log: QueryLog, text: str) -> Iterator[SuggestedSearch]:
    for similar, row in log.similar(text):
        for item in words.items([row]):
            yield SuggestedSearch(text=similar, display=similar, token=item.token)


def _pivots(words: WordIndex, terms: Sequence[str]) -> Iterator[tuple[str, tuple[SuggestedSearch, ...]]]:
    """Yield each word with searches that have a label of the other words' results in its place."""
    for place, term in enumerate(terms[:MAX_WORDS] if len(terms) > 1 else ()):
        rest = [*terms[:place], *terms[place + 1 :]]
        others = words.search(SearchQuery(text="", expression=parse(" AND ".join(rest)), page=PageRange()))
        found = _labels_of(others.items, terms)[:MAX_SUGGESTIONS]
        suggestions = tuple(
            SuggestedSearch(
                text=" ".join([*terms[:place], label, *terms[place + 1 :]]), display=label, token=item.token
            )
            for label, item in found
        )
        if suggestions:
            yield term, suggestions
