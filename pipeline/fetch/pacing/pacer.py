"""The pacer of one key, and the gate in front of it where everyone waits: first come, first served."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

import anyio
from anyio import current_time

from pipeline.fetch.pacing.concurrency import Concurrency
from pipeline.fetch.pacing.pace import Pace, Pause, Permit
from pipeline.fetch.policy import RateLimit
from pipeline.records import Advice


class IntakeClosed(Exception):
    """Nothing new is sent any more: the run drains, and the row is asked in the next run."""


class Pacer(Protocol):
    """Says when the next send of a key may leave, for one process or for many; the one owner of the pause."""

    @property
    def pause(self) -> Pause:
        """The last pause for all runs that use the key, set by any of them, as far as this process knows."""

    async def take(self, amount: float = 0.0) -> Permit | float:
        """Grant a send of so many tokens or units now, or say in how many seconds it is worth asking again."""

    async def settle(self, permit: Permit, *, sent: bool) -> None:
        """Note that the permit's send leaves this moment, or never will."""

    async def late(self, permit: Permit, seconds: float) -> None:
        """Note that the permit's send seems to have arrived so many seconds after it left."""

    async def answered(self, permit: Permit, amount: float, advice: Advice) -> None:
        """Note what the permit's send really used, and what its answer says is left of the limits."""

    async def begin_pause(self, seconds: float, refused: Permit | None = None, *, by_amount: bool = False) -> None:
        """Let nothing leave for `seconds`; `refused` is the send that came back as too fast or too much, if one did."""


class ProcessPacer:
    """The pacer of this process alone."""

    def __init__(self, limits: RateLimit) -> None:
        self._pace = Pace(memoryview(bytearray(8 * Pace.CELLS)).cast("d"), limits)

    @property
    def pause(self) -> Pause:
        """See Pacer."""
        return self._pace.current_pause

    async def take(self, amount: float = 0.0) -> Permit | float:
        """See Pacer."""
        return self._pace.take(current_time(), amount)

    async def settle(self, permit: Permit, *, sent: bool) -> None:
        """See Pacer."""
        self._pace.settle(permit, current_time() if sent else None)

    async def late(self, permit: Permit, seconds: float) -> None:
        """See Pacer."""
        self._pace.late(permit, seconds)

    async def answered(self, permit: Permit, amount: float, advice: Advice) -> None:
        """See Pacer."""
        self._pace.answered(permit, amount, advice)

    async def begin_pause(self, seconds: float, refused: Permit | None = None, *, by_amount: bool = False) -> None:
        """See Pacer."""
        now = current_time()
        self._pace.pause(now, seconds, refused, too_much=self._pace.sent_amount(now) if by_amount else None)


class Gate:
    """Where requests wait for room and for a permit; only the head of the queue asks and sleeps."""

    def __init__(self, pacer: Pacer, concurrency: Concurrency) -> None:
        self._pacer = pacer
        self._concurrency = concurrency
        self._head = anyio.Lock(fast_acquire=True)
        self._in_flight = 0
        self._asleep = 0
        self._closing = anyio.Event()
        self._freed = anyio.Event()

    def close(self) -> None:
        """Send everyone who waits here away with IntakeClosed, now and from now on."""
        self._closing.set()
        self._freed.set()

    @property
    def waits(self) -> bool:
        """Return True if something waits on purpose: for a permit, a pause, a backoff."""
        return self._asleep > 0

    async def sleep(self, seconds: float) -> None:
        """Sleep, but no longer than the gate is open."""
        self._asleep += 1
        try:
            with anyio.move_on_after(seconds):
                await self._closing.wait()
        finally:
            self._asleep -= 1
        self._refuse_if_closed()

    def permit(self, amount: float = 0.0) -> Admission:
        """Wait for room and a permit for so much, in `async with`; one that was not used by its end goes back."""
        return Admission(self, amount)

    async def enter(self, amount: float) -> Permit:
        """Wait for room and a permit; see permit()."""
        async with self._head:
            await self._wait_for_room()
            permit = await self._wait_for_permit(amount)
            self._in_flight += 1
            return permit

    async def leave(self, permit: Permit) -> None:
        """Make room for the next one; see permit()."""
        self._in_flight -= 1
        self._freed.set()
        if permit.sent_at is None:
            with anyio.CancelScope(shield=True):
                await self._pacer.settle(permit, sent=permit.left)  # what may have left counts as sent

    async def _wait_for_room(self) -> None:
        self._refuse_if_closed()
        while self._in_flight >= self._concurrency.limit:
            self._freed = anyio.Event()
            await self._freed.wait()
            self._refuse_if_closed()

    async def _wait_for_permit(self, amount: float) -> Permit:
        while not isinstance(answer := await self._pacer.take(amount), Permit):
            await self.sleep(answer)
        return answer

    def _refuse_if_closed(self) -> None:
        if self._closing.is_set():
            raise IntakeClosed


class Admission:
    """One request's way through the gate: a plain context manager, as contextlib's costs twice as much."""

    __slots__ = ("_amount", "_gate", "_permit")

    def __init__(self, gate: Gate, amount: float) -> None:
        self._gate = gate
        self._amount = amount

    async def __aenter__(self) -> Permit:
        self._permit = await self._gate.enter(self._amount)
        return self._permit

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._gate.leave(self._permit)
