"""When the next send of one key may leave: even pace, strict window, pause, and limits that adapt. Pure.

The clock is an argument and the state a row of doubles, so that the same decisions work in one process's memory and
in a file that several processes map. The law: never more than `limit` sends leave in any `1 + guard` seconds. It
holds because a permit whose send has not left yet counts as leaving now, whatever keeps it. What a service limits by
the minute, tokens or units, is counted beside the sends: see amounts.py.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final, NamedTuple

from pipeline.fetch.pacing.amounts import MINUTE, Amounts
from pipeline.fetch.pacing.budgets import BudgetPace
from pipeline.fetch.pacing.cells import Cell
from pipeline.fetch.pacing.learnt_limit import LearntLimit
from pipeline.fetch.policy import RateLimit
from pipeline.records import Advice

RING: Final = 16_384  # stamps kept, so no faster than this many sends in a second
PENDING: Final = 1_024  # permits whose send has not left yet
PENDING_LIMIT: Final = 15.0  # the sender has died: longer than a connect may take
POLL: Final = 0.02  # another process's send has to leave first
CATCH_UP: Final = 0.05  # lateness that may be made up for
LATE_MAX: Final = 0.1  # an answer later than that says little about when its request arrived
GUARD_LEAST: Final = 0.01  # after a refusal
GUARD_MAX: Final = 0.1
GUARD_WIDE: Final = 0.05  # a refusal in spite of so much is no jitter
GUARD_HALF_LIFE: Final = 300.0
EDGE: Final = 0.9  # so much of the limit was used: the window was full
AMOUNT_STEP: Final = MINUTE / 4  # a limit of a minute takes so long to show that it was raised too far
MOST_AMOUNT: Final = 1e12


@dataclass(slots=True, kw_only=True, eq=False)
class Permit:
    """Leave for one send; `sent_at` and `load` (sends in the window before it) are known once it has left.

    `left` is true from just before the first byte on, so that a call may be over-counted but never missed. `amount` is
    what the send uses, which `counts_at` the second it left; `spent` are all sends and amounts so far, with this one.
    """

    granted_at: float
    name: str = ""  # by which a pacer on another machine knows it
    amount: float = 0.0
    counts_at: float = 0.0  # on the pacer's own clock
    spent: tuple[float, float] = (0.0, 0.0)
    left: bool = False
    sent_at: float | None = None
    load: int = 0


class Pause(NamedTuple):
    """A time in which nothing may leave, in seconds of the pacer's clock; zeros where there was none."""

    start: float
    until: float


class Pace:
    """Decides over `cells`, at least CELLS doubles, all zero at first; every time is in seconds of one clock."""

    next_at = Cell(0)  # when the even pace allows the next send
    paused_from = Cell(1)
    paused_until = Cell(2)
    extra_guard = Cell(3)
    extra_guard_at = Cell(4)
    _CALLS_AT: Final = 5
    _AMOUNT_AT: Final = _CALLS_AT + LearntLimit.CELLS
    LEARNT: Final = _AMOUNT_AT + LearntLimit.CELLS  # of the cells, the first so many are what refusals taught
    _head = Cell(LEARNT)  # oldest stamp of the ring
    _stamps = Cell(LEARNT + 1)  # stamps in the ring, oldest first
    _pending = Cell(LEARNT + 2)  # permits whose send has not left
    _PENDING_AT: Final = 16
    _RING_AT: Final = _PENDING_AT + PENDING
    _AMOUNTS_AT: Final = _RING_AT + RING
    _BUDGETS_AT: Final = _AMOUNTS_AT + Amounts.CELLS
    CELLS: Final = _BUDGETS_AT + 2 * BudgetPace.CELLS

    def __init__(self, cells: memoryview[float], limits: RateLimit) -> None:
        self.cells = cells
        self.at = 0
        self.limits = limits
        self._learnt = LearntLimit(cells, self._CALLS_AT, most=limits.qps or RING)
        most = limits.amount_per_minute or MOST_AMOUNT
        self._learnt_amount = LearntLimit(cells, self._AMOUNT_AT, most=most, step=AMOUNT_STEP)
        self._amounts = Amounts(cells, self._AMOUNTS_AT)
        self._calls_left = BudgetPace(cells, self._BUDGETS_AT)
        self._amount_left = BudgetPace(cells, self._BUDGETS_AT + BudgetPace.CELLS)

    @property
    def current_pause(self) -> Pause:
        """The last pause that was set, over or not."""
        return Pause(self.paused_from, self.paused_until)

    def take(self, now: float, amount: float = 0.0) -> Permit | float:
        """Grant a send of so much now, or say in how many seconds it is worth asking again."""
        slots, window = self.allowance(now)
        self._forget(now, window)
        self.next_at = self.next_at or now
        most = self.amount_limit(now)
        wait = max(
            self.paused_until,
            self.next_at if slots else 0.0,
            self._free_at(now, window, slots or RING),
            self._amounts.free_at(now, amount, most),
            self._calls_left.free_at(now, 1.0),
            self._amount_left.free_at(now, amount),
        )
        if wait > now:
            return wait - now
        if slots:
            self.next_at = max(self.next_at, now - CATCH_UP) + window / slots
        self._amounts.take(now, amount, most)
        self._calls_left.take(now, 1.0)
        self._amount_left.take(now, amount)
        self.cells[self._PENDING_AT + int(self._pending)] = now
        self._pending += 1
        spent = self._calls_left.spent, self._amount_left.spent
        return Permit(granted_at=now, amount=amount, counts_at=now, spent=spent)

    def allowance(self, now: float) -> tuple[int, float]:
        """Return how many sends, 0 = any, may leave in how many seconds."""
        limit = self.limit(now)
        return min(max(1, int(limit)), RING) if limit else 0, self._window(now, limit)

    def settle(self, permit: Permit, sent_at: float | None) -> None:
        """Note when the permit's send left, or with None that it never will."""
        self._drop_pending(permit.granted_at)
        if sent_at is None:
            self._give_back(permit)
            return
        if permit.amount:
            self._amounts.add(permit.counts_at, -permit.amount)
            self._amounts.add(sent_at, permit.amount)
        permit.counts_at = sent_at
        self._forget(sent_at, self._window(sent_at, self.limit(sent_at)))
        permit.sent_at, permit.load = sent_at, int(self._stamps)
        if self._stamps == RING:
            self._pop()
        self._put(int(self._stamps), sent_at)
        self._stamps += 1

    def late(self, permit: Permit, seconds: float) -> None:
        """Count a send as arriving `seconds` after it left, as its answer says; stamps stay in order."""
        count, sent_at = int(self._stamps), permit.sent_at or 0.0
        index = bisect_left(range(count), sent_at, key=self._stamp)
        if index == count or self._stamp(index) != sent_at:
            return
        arrived = sent_at + min(seconds, LATE_MAX)
        while index + 1 < count and self._stamp(index + 1) < arrived:
            self._put(index, self._stamp(index + 1))
            index += 1
        self._put(index, arrived)

    def answered(self, permit: Permit, amount: float, advice: Advice) -> None:
        """Put what a send really used in the place of what was expected, and go by what its answer says is left."""
        if permit.sent_at is None:
            return
        limit = self.amount_limit(permit.sent_at)
        self._amounts.correct(permit.counts_at, amount - permit.amount, limit)
        self._amount_left.spend(amount - permit.amount)
        permit.amount = amount
        calls, spent = permit.spent
        if advice.calls is not None:
            self._calls_left.note(advice.calls, permit.sent_at, calls)
        if advice.amount is not None:
            self._amount_left.note(advice.amount, permit.sent_at, spent)

    def pause(self, now: float, seconds: float, refused: Permit | None, *, too_much: float | None = None) -> None:
        """Let nothing leave for `seconds`; `refused` was sent too fast, which corrects the limit.

        Where it was not too fast but more than a minute may have, `too_much` is what was sent in the last one.

        A send that was in flight when the pause began was refused for the reason already known: it only extends.
        """
        early = refused is not None and refused.sent_at is not None and refused.sent_at <= self.paused_from
        if now >= self.paused_until:
            self.paused_from = now
        self.paused_until = max(self.paused_until, now + seconds)
        self.next_at = max(self.next_at, self.paused_until)
        if refused is None or early:
            return
        if too_much is None:
            self._correct(now, refused.load)
        else:
            self._correct_amount(now, too_much - refused.amount)

    def limit(self, now: float) -> float:
        """Return the sends a second allowed now, 0 = any: what was asked for, or what the service showed it bears."""
        return self._learnt.value(now) or self.limits.qps

    def amount_limit(self, now: float) -> float:
        """Return the amount a minute that is allowed now, 0 = any."""
        return self._learnt_amount.value(now) or self.limits.amount_per_minute

    def sent_amount(self, now: float) -> float:
        """Return what was sent in the last minute."""
        return self._amounts.total(now)

    def _window(self, now: float, limit: float) -> float:
        """Return the seconds in which `limit` sends may leave; below one a second the window is longer instead."""
        guard = self.limits.guard
        if (extra := self.extra_guard) and limit >= self.limits.qps:
            guard += extra * 0.5 ** (max(0.0, now - self.extra_guard_at) / GUARD_HALF_LIFE)
        return (1 + guard) / min(1.0, limit or 1.0)

    def _correct(self, now: float, load: int) -> None:
        """Widen the guard for a refusal at our own edge, else go down to what the service let through.

        A window that is full but for the send which has just left it is our own edge, as long as no wide guard was
        kept: few sends fill the window of a low rate.
        """
        limit = self.limit(now)
        slots, guard = int(limit), self._window(now, limit) * min(1.0, limit or 1.0) - 1
        is_full = load >= min(EDGE * slots, slots - 1)
        if limit and limit == self.limits.qps and is_full and guard < GUARD_WIDE:
            self.extra_guard = min(max(2 * guard, GUARD_LEAST), GUARD_MAX) - self.limits.guard
            self.extra_guard_at = now
        elif load:
            below = min(load, slots - 1 if slots > 1 else 0.75 * limit) if limit else load
            self._learnt.lower(max(below, limit / 4), self.paused_until)

    def _correct_amount(self, now: float, sent: float) -> None:
        """Go down to what the service let through in the last minute, and below the limit that proved too high."""
        limit = self.amount_limit(now)
        if sent > 0:
            within = min(sent, EDGE * limit) if limit else sent
            self._learnt_amount.lower(max(within, limit / 4), self.paused_until)

    def _free_at(self, now: float, window: float, slots: int) -> float:
        """Return when the window has room for one more."""
        surplus = int(self._stamps + self._pending) - slots
        if surplus < 0 and self._pending < PENDING:
            return now
        if 0 <= surplus < self._stamps:
            return self._stamp(surplus) + window
        return now + POLL

    def _give_back(self, permit: Permit) -> None:
        """Take back what a send that never left was to use."""
        self._amounts.add(permit.counts_at, -permit.amount)
        self._calls_left.spend(-1.0)
        self._amount_left.spend(-permit.amount)

    def _forget(self, now: float, window: float) -> None:
        """Drop stamps that left the window, and permits whose holder must be dead."""
        while self._stamps and self._stamp(0) <= now - window:
            self._pop()
        if self._pending and self.cells[self._PENDING_AT] < now - PENDING_LIMIT:
            self._drop_pending(self.cells[self._PENDING_AT])

    def _stamp(self, index: int) -> float:
        return self.cells[self._RING_AT + int(self._head + index) % RING]

    def _put(self, index: int, stamp: float) -> None:
        self.cells[self._RING_AT + int(self._head + index) % RING] = stamp

    def _pop(self) -> None:
        self._head = (self._head + 1) % RING
        self._stamps -= 1

    def _drop_pending(self, granted_at: float) -> None:
        """Remove one permit, keeping the others oldest first."""
        first, last = self._PENDING_AT, self._PENDING_AT + int(self._pending)
        for index in range(first, last):
            if self.cells[index] == granted_at:
                self.cells[index : last - 1] = self.cells[index + 1 : last]
                self._pending -= 1
                return
