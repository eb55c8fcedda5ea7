"""What the words of a query do to the order of look-alikes."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

from pipeline.service.findings import Findings, Match
from pipeline.service.search.expression import Expression
from pipeline.service.search.word_index import WordIndex

# The difference of scores up to which the words decide. The picture decides on all that is farther apart: look-alikes
# after the first ones are at most engine.MAX_BEHIND_BEST behind the best.
WEIGHT = 0.1


def rank_by_words(words: WordIndex, expression: Expression, findings: Findings) -> Findings:
    """Put look-alikes whose rows match a query before others that are about equally alike; scores stay as they are."""
    listed = {match.item.number for match in (*findings.similar, *findings.products)}
    matching = words.matching(expression, sorted(listed))
    return replace(
        findings, similar=_preferred(findings.similar, matching), products=_preferred(findings.products, matching)
    )


def _preferred(matches: tuple[Match, ...], numbers: AbstractSet[int]) -> tuple[Match, ...]:
    return tuple(sorted(matches, key=lambda match: -match.score - WEIGHT * (match.item.number in numbers)))
