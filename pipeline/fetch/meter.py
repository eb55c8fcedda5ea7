"""What a send is charged with before it leaves: a call, and the money that it costs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Protocol

from anyio import CapacityLimiter, to_thread

from pipeline.errors import QuotaUsedUp
from pipeline.fetch.quota import ROUNDING, Quota, next_day
from pipeline.fetch.usage_totals import UsageTotal, UsageTotals
from pipeline.records import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One call that was counted on `day` (UTC), with what it is expected to use."""

    day: str = ""
    estimate: Usage = field(default_factory=Usage)


class Meter(Protocol):
    """Counts sends before they leave."""

    async def charge(self, estimate: Usage) -> Charge:
        """Count a call that is about to be sent; raises QuotaUsedUp where no more may be, OutputError."""

    async def refund(self, charge: Charge) -> None:
        """Take back what never left; raises OutputError."""

    def settle(self, charge: Charge, usage: Usage) -> None:
        """Put what a call really used in the place of its estimate."""


_FREE: Final = Charge()


class Unmetered:
    """A Meter for services that may be called as often as one likes."""

    async def charge(self, estimate: Usage) -> Charge:
        """See Meter."""
        return _FREE

    async def refund(self, charge: Charge) -> None:
        """See Meter."""

    def settle(self, charge: Charge, usage: Usage) -> None:
        """See Meter."""


class QuotaMeter:
    """A Meter that counts calls in a Quota, one at a time, in a thread; `cost` is what this run has spent.

    `call_price` is the cost of a call where the service doesn't say what it costs; `max_cost` is the most that a run
    may spend, 0 for any amount.
    """

    def __init__(self, quota: Quota, *, call_price: float = 0.0, max_cost: float = 0.0) -> None:
        self.cost = 0.0
        self._quota = quota
        self._call_price = call_price
        self._max_cost = max_cost
        self._settings = ""
        self._totals = UsageTotals()
        self._thread = CapacityLimiter(1)

    def teach(self, settings: str) -> None:
        """Keep what the calls use under the name of their settings, for later plans."""
        self._settings = settings

    async def charge(self, estimate: Usage) -> Charge:
        """See Meter."""
        cost = price(estimate, self._call_price)
        self._check(cost)
        self.cost += cost
        try:
            day = await to_thread.run_sync(self._quota.charge, cost, limiter=self._thread)
        except BaseException:
            self.cost -= cost
            raise
        charge = Charge(day=day, estimate=replace(estimate, cost=cost))
        self._totals.add(charge.estimate)
        return charge

    async def refund(self, charge: Charge) -> None:
        """See Meter."""
        cost = charge.estimate.cost or 0.0
        self.cost -= cost
        self._totals.add(charge.estimate, -1)
        await to_thread.run_sync(self._quota.refund, charge.day, cost, limiter=self._thread)

    def used(self) -> tuple[int, int]:
        """Return the calls counted today and this month (UTC)."""
        return self._quota.used()

    def totals(self) -> list[UsageTotal]:
        """Return what this run has used, by model and feature; a call without an answer counts by its estimate."""
        return self._totals.as_list()

    def settle(self, charge: Charge, usage: Usage) -> None:
        """See Meter."""
        cost = price(usage, self._call_price)
        usage = replace(usage, cost=cost)
        self._totals.add(charge.estimate, -1)
        self._totals.add(usage)
        correction = cost - (charge.estimate.cost or 0.0)
        if correction:
            self.cost += correction
            self._quota.correct(charge.day, correction)
        if usage.tokens_in or usage.tokens_out:  # what is paid for by the unit costs what the estimate says
            self._quota.learn(self._settings, usage)

    def _check(self, cost: float) -> None:
        """Raise QuotaUsedUp where a call of this cost would be more than the run may spend."""
        if not self._max_cost or self.cost + cost <= self._max_cost * (1 + ROUNDING):
            return
        said = f"limits.max_cost = {self._max_cost:g} "
        if self._quota.calls:
            said += f"is reached after {self._quota.calls} calls; the next run goes on"
        else:
            said += f"pays for no call: one is expected to cost {cost:g}; raise it"
        raise QuotaUsedUp(said, resume_after=next_day(datetime.now(UTC)))


def price(usage: Usage, call_price: float) -> float:
    """Return the cost of a call: what its usage says, or else the price of any call."""
    return call_price if usage.cost is None else usage.cost
