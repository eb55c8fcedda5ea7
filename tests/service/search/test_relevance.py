"""The words of a query decide between look-alikes that are about equally alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pipeline.service.findings import Findings, Item, Match
from pipeline.service.search.expression import parse
from pipeline.service.search.relevance import rank_by_words
from pipeline.service.search.word_index import WordIndex

if TYPE_CHECKING:
    from tests.service.serving import FixedEngine

BARE = {"description": None, "tags": (), "category": None, "seller": None}
ROWS = [("Blue cup", 0.95), ("Red mug", 0.9), ("Blue mug", 0.88), ("Green mug", 0.87), ("Red cup", 0.7)]


@pytest.mark.parametrize(
    ("query", "order"),
    [
        ("mug", [1, 2, 3, 0, 4]),
        ("blue mug", [2, 0, 1, 3, 4]),
        ("mug -red", [2, 3, 0, 1, 4]),
        ("green cup", [0, 3, 1, 2, 4]),
        ("red cup", [0, 1, 2, 3, 4]),
        ("poster", [0, 1, 2, 3, 4]),
    ],
    ids=["one-word", "all-words", "operator", "any-word", "too-far-behind", "no-row"],
)
def test_rows_that_match_come_first(
    engine: FixedEngine,
    item_of: Callable[..., Item],
    findings_of: Callable[[Sequence[Item]], Findings],
    query: str,
    order: list[int],
) -> None:
    """Those with all words, or else those with any; nothing is added, left out, or scored differently."""
    engine.rows = [item_of(number, title=title, **BARE) for number, (title, _) in enumerate(ROWS)]
    alike = tuple(Match(item=row, score=score) for row, (_, score) in zip(engine.rows, ROWS, strict=True))
    findings = replace(findings_of(engine.rows), similar=alike, products=alike[1:])
    expression = parse(query)
    assert expression is not None
    ranked = rank_by_words(WordIndex(engine), expression, findings)
    assert ranked.similar == tuple(alike[number] for number in order)
    assert ranked.products == tuple(alike[number] for number in order if number)
