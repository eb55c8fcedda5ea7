"""What calls used is added up by model and feature, and estimates are taken back exactly."""

from __future__ import annotations

from pipeline.fetch.usage_totals import UsageTotal, UsageTotals
from pipeline.records import Usage

LABELS_AND_TEXT = Usage(
    units={"labels": 1, "text": 1}, cost=0.003, unit_costs={"labels": 0.0015, "text": 0.0015}, currency="USD"
)


def test_units_and_their_costs_are_kept_apart() -> None:
    """A feature has its units and its part of the cost; what belongs to none is not made up."""
    totals = UsageTotals()
    for _ in range(2):
        totals.add(LABELS_AND_TEXT)
    assert totals.as_list() == [
        UsageTotal(feature="labels", units=2, cost=0.003, currency="USD"),
        UsageTotal(feature="text", units=2, cost=0.003, currency="USD"),
    ]


def test_models_are_kept_apart_with_their_tokens() -> None:
    """The cost beyond that of units belongs to the tokens."""
    totals = UsageTotals()
    totals.add(Usage(model="large", tokens_in=5, tokens_out=1, cost=0.5, currency="USD"))
    totals.add(Usage(model="small", units={"searches": 2}, tokens_in=3, cost=0.25, unit_costs={"searches": 0.05}))
    assert [(total.model, total.feature, total.tokens_in, round(total.cost, 9)) for total in totals.as_list()] == [
        ("large", "", 5, 0.5),
        ("small", "", 3, 0.2),
        ("small", "searches", 0, 0.05),
    ]


def test_an_estimate_that_is_taken_back_leaves_nothing() -> None:
    """A thousand additions of prices that are not exact are taken back without a rest."""
    totals = UsageTotals()
    for sign in (1, -1):
        for _ in range(1000):
            totals.add(Usage(units={"a": 1}, tokens_in=7, cost=0.1, unit_costs={"a": 0.03}), sign)
    assert totals.as_list() == []
