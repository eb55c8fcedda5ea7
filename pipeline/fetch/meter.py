"""What a send is charged with before it leaves: a call, and the money that it costs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from anyio import CapacityLimiter, to_thread

from pipeline.errors import QuotaUsedUp
from pipeline.fetch.quota import ROUNDING, Quota, next_day
from pipeline.records import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One call that was counted on `day` (UTC), at an estimated `cost`."""

    day: str = ""
    cost: float = 0.0


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
        self._thread = CapacityLimiter(1)

    async def charge(self, estimate: Usage) -> Charge:
        """See Meter."""
        cost = price(estimate, self._call_price)
        if self._max_cost and self.cost + cost > self._max_cost * (1 + ROUNDING):
            said = (
                f"limits.max_cost = {self._max_cost:g} is reached after {self._quota.calls} calls; the next run goes on"
            )
            raise QuotaUsedUp(said, resume_after=next_day(datetime.now(UTC)))
        self.cost += cost
        try:
            day = await to_thread.run_sync(self._quota.charge, cost, limiter=self._thread)
        except BaseException:
            self.cost -= cost
            raise
        return Charge(day=day, cost=cost)

    async def refund(self, charge: Charge) -> None:
        """See Meter."""
        self.cost -= charge.cost
        await to_thread.run_sync(self._quota.refund, charge.day, charge.cost, limiter=self._thread)

    def used(self) -> tuple[int, int]:
        """Return the calls counted today and this month (UTC)."""
        return self._quota.used()

    def settle(self, charge: Charge, usage: Usage) -> None:
        """See Meter."""
        correction = price(usage, self._call_price) - charge.cost
        if correction:
            self.cost += correction
            self._quota.correct(charge.day, correction)


def price(usage: Usage, call_price: float) -> float:
    """Return the cost of a call: what its usage says, or else the price of any call."""
    return call_price if usage.cost is None else usage.cost
