"""A run on a terminal ends with the facts that matter most."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pipeline.report.facts import known_facts, main_facts
from tests.jobs import make_record


@pytest.mark.parametrize(
    ("known", "changes", "expected"),
    [
        (
            {"copies": 12, "texts": 9, "captions": 4},
            {"offers.price": 3, "tags": 8},
            "12 copies, 9 texts, 3 prices changed",
        ),
        ({"copies": 1, "texts": 1}, {"similar_products.offer.low_price": 1}, "1 copy, 1 text, 1 price changed"),
        ({}, {"added": 2, "removed": 1, "tags": 3, "text": 1}, "2 rows added, 1 row removed, 4 changes"),
        ({}, {"offers.price": 2, "tags": 1}, "2 prices changed, 1 other change"),
        ({"captions": 2}, {}, "2 captions"),
        ({}, {}, "nothing new, nothing changed"),
    ],
)
def test_three_facts_are_said(known: Mapping[str, int], changes: Mapping[str, int], expected: str) -> None:
    """Copies, texts and prices come first; a quiet night says so."""
    assert main_facts(known, changes) == expected


def test_a_record_counts_for_what_it_knows() -> None:
    """Empty lists are nothing."""
    record = make_record("a", duplicates=[{"id": "b"}], text={"full": "TEA", "regions": []}, offers=[])
    assert known_facts(record) == ["copies", "texts"]
