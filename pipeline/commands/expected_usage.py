"""What the calls of a plan will use and cost: by their estimates, or by the mean of such calls so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.fetch.learned_usage import LearnedUsage
from pipeline.fetch.meter import price
from pipeline.records import Usage
from pipeline.wording import counted, money


@dataclass(slots=True, kw_only=True)
class ExpectedUsage:
    """What a number of calls will use; `call_price` is that of a call whose service names no price.

    `learned` is what such calls used so far. It counts for services that are paid by the token: what a picture takes of
    them is known only afterwards.
    """

    call_price: float = 0.0
    learned: LearnedUsage | None = None
    calls: int = 0
    units: Counter[str] = field(default_factory=Counter)
    currency: str = ""
    _tokens_in: int = 0
    _tokens_out: int = 0
    _cost: float = 0.0
    _is_priced: bool = False

    def add(self, estimate: Usage) -> None:
        """Add a call by its estimate."""
        self.calls += 1
        self.units.update(estimate.units)
        self._tokens_in += estimate.tokens_in
        self._tokens_out += estimate.tokens_out
        self._cost += price(estimate, self.call_price)
        self._is_priced |= estimate.cost is not None
        self.currency = self.currency or estimate.currency

    @property
    def cost(self) -> float:
        """What the calls will cost."""
        return self._mean.cost * self.calls if self._mean else self._cost

    def lines(self) -> Iterator[str]:
        """Yield what is expected, as lines of a plan."""
        if self.units:
            yield f"units             {', '.join(f'{units:g} {name}' for name, units in self.units.items())}"
        if self._takes_tokens:
            tokens_in, tokens_out = self._tokens
            yield f"tokens            {tokens_in:.0f} in, {tokens_out:.0f} out"
        certainty = f"  ({self._certainty})" if self._certainty else ""
        yield f"cost              {f'{money(self.cost)} {self.currency}'.rstrip()}{certainty}"

    @property
    def _takes_tokens(self) -> bool:
        return bool(self._tokens_in or self._tokens_out)

    @property
    def _mean(self) -> LearnedUsage | None:
        return self.learned if self._takes_tokens else None

    @property
    def _tokens(self) -> tuple[float, float]:
        if self._mean is None:
            return self._tokens_in, self._tokens_out
        return self._mean.tokens_in * self.calls, self._mean.tokens_out * self.calls

    @property
    def _certainty(self) -> str:
        """Say where the cost comes from and how sure it is; nothing where the config itself names the price."""
        if self._mean is not None:
            off = f", give or take {self._mean.error:.0%}" if self._mean.calls > 1 else ""
            return f"the mean of {counted(self._mean.calls, 'such call')}{off}"
        if self._takes_tokens:
            return "an estimate; do some rows with --limit, and plan again by what they have used"
        return "by the provider's prices" if self._is_priced and self.calls else ""
