"""What the calls of a run used together, by model and by feature: units, tokens, money."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.records import Usage

_NOTHING = 1e-9  # what adding and taking back prices can leave


@dataclass(slots=True, kw_only=True)
class UsageTotal:
    """What calls used of one model and one feature; either is empty where the service has no such thing."""

    model: str = ""
    feature: str = ""
    units: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    currency: str = ""

    @property
    def is_empty(self) -> bool:
        """Return True if nothing was used."""
        return not (self.units or self.tokens_in or self.tokens_out) and abs(self.cost) < _NOTHING


class UsageTotals:
    """Adds up what calls use; what a call was expected to use is taken back when its answer says what it used."""

    def __init__(self) -> None:
        self._totals: dict[tuple[str, str, str], UsageTotal] = {}

    def add(self, usage: Usage, sign: int = 1) -> None:
        """Add what a call uses, or take it back (`sign` -1)."""
        for part in _parts(usage):
            key = (part.model, part.feature, part.currency)
            total = self._totals.setdefault(
                key, UsageTotal(model=part.model, feature=part.feature, currency=part.currency)
            )
            total.units += sign * part.units
            total.tokens_in += sign * part.tokens_in
            total.tokens_out += sign * part.tokens_out
            total.cost += sign * part.cost

    def as_list(self) -> list[UsageTotal]:
        """Return the totals that are not empty, in the order of models and features."""
        return [total for _, total in sorted(self._totals.items()) if not total.is_empty]


def _parts(usage: Usage) -> Iterator[UsageTotal]:
    """Yield what a usage has of each feature, and then what belongs to none: its tokens and the rest of its cost."""
    for feature, units in usage.units.items():
        cost = usage.unit_costs.get(feature, 0.0)
        yield UsageTotal(model=usage.model, feature=feature, units=units, cost=cost, currency=usage.currency)
    rest = (usage.cost or 0.0) - sum(usage.unit_costs.values())
    yield UsageTotal(
        model=usage.model,
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        cost=rest if abs(rest) > _NOTHING else 0.0,
        currency=usage.currency,
    )
