"""Asks a service: one gate, one pacer, one pool of connections, retries and pauses for all workers of a run."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Final, Self

from anyio import CancelScope, current_time
from pydantic import SecretStr

from pipeline.errors import KeyRefused, Misconfigured, OutputError, QuotaUsedUp, Unreachable
from pipeline.fetch.client_state import ClientState
from pipeline.fetch.outage import OutageDetector
from pipeline.fetch.pacing.concurrency import Concurrency
from pipeline.fetch.pacing.late_arrivals import LateArrivals
from pipeline.fetch.pacing.pace import Permit
from pipeline.fetch.pacing.pacer import Gate, Pacer
from pipeline.fetch.policy import FetchCounters, RateLimit, RetryPolicy
from pipeline.fetch.retry import RetryBudget, Retrying, Try
from pipeline.fetch.retry_after import retry_after, usable
from pipeline.fetch.transport import Transport, WithheldError
from pipeline.providers.base import Provider
from pipeline.records import Answer, Outcome, Problem, Request

OUTAGE: Final = 5  # faults in a row, over all rows, that make it the service's trouble and not a row's
LONGEST_RESUME: Final = 366 * 86_400.0  # a Retry-After beyond that is nonsense


@dataclass(slots=True)
class _Call:
    """One request on its way through its attempts."""

    request: Request
    sends: int = 0
    throttled_at: float | None = None


class Fetcher:
    """Asks the provider's service, within `limits`, for everyone who calls `ask`; an async context manager.

    `charge` is awaited after the permit and before each send, and may raise QuotaUsedUp; what it returns is given to
    `refund` where no byte has left. `counters` is updated as the run goes on. `conversation` is what the service gives
    its client to keep; by default it ends with the Fetcher.
    """

    def __init__(
        self,
        provider: Provider,
        key: SecretStr | None,
        limits: RateLimit,
        retry: RetryPolicy,
        *,
        pacer: Pacer,
        charge: Callable[[], Awaitable[str]] | None = None,
        refund: Callable[[str], Awaitable[None]] | None = None,
        counters: FetchCounters | None = None,
        client_state: ClientState | None = None,
    ) -> None:
        self.counters = counters or FetchCounters()
        self._provider = provider
        self._policy = retry
        self._pacer = pacer
        self._charge = charge
        self._refund = refund
        self._outage = OutageDetector(provider.endpoint, retry.row_timeout)
        self._concurrency = Concurrency(limits)
        self._late_arrivals = LateArrivals()
        self._gate = Gate(pacer, self._concurrency)
        self._budget = RetryBudget()
        self._retrying = Retrying(retry, self._budget, self._gate.sleep)
        self._transport = Transport(
            provider.endpoint,
            provider.key_header,
            key,
            retry,
            pacer=pacer,
            counters=self.counters,
            paused_until=lambda: self._paused_until,
            client_state=client_state or ClientState(),
        )
        self._refused = 0  # pauses for refusals since the last success
        self._faults = 0  # faults since the last success
        self._success_at = 0.0  # when the last one was sent
        self._paused_from = self._paused_until = 0.0

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    def close_intake(self) -> None:
        """Let nothing new be sent: who waits gets IntakeClosed, what has been sent is finished."""
        self._gate.close()

    def waits(self) -> bool:
        """Tell whether nothing moves on purpose, for whoever watches for a stall."""
        return self._gate.waits

    @property
    def trouble(self) -> str:
        """Say in words what keeps the service from answering; nothing where it does."""
        return self._outage.trouble

    @property
    def paused_for(self) -> float:
        """How many seconds of a pause for everyone are left, on the service's word or after its faults."""
        return max(0.0, self._paused_until - current_time())

    async def ask(self, request: Request) -> tuple[Answer, Outcome]:
        """Return the answer and what it means; a Problem of kind transient or throttled was tried to the end.

        Raises KeyRefused, QuotaUsedUp and Misconfigured, which close the intake; IntakeClosed once it is closed.
        An answer of status 0 means that nothing came back.
        """
        call = _Call(request)
        result = await self._retrying.run(partial(self._attempt, call))
        answer = result.answer if call.sends == 1 else replace(result.answer, attempts=call.sends)
        return answer, result.outcome

    async def _attempt(self, call: _Call) -> Try:
        while True:
            async with self._gate.permit() as permit:
                charged = await self._charge() if self._charge is not None else None
                try:
                    answer, outcome = await self._send(call, permit)
                except WithheldError:
                    continue
                finally:
                    if charged is not None and not permit.left:
                        await self._give_back(charged)
                own_wait = await self._react(call, permit, answer, outcome)
                return Try(answer=answer, outcome=outcome, own_wait=own_wait)

    async def _give_back(self, charged: str) -> None:
        """Take back a charge for what never left; a count that can't be written stays too high, which is safe."""
        if self._refund is not None:
            with CancelScope(shield=True), suppress(OutputError):
                await self._refund(charged)

    async def _send(self, call: _Call, permit: Permit) -> tuple[Answer, Outcome]:
        answer = await self._transport.send(call.request, permit)
        self._count(call, permit)
        if isinstance(answer, Problem):
            self._meet(answer, permit)
            return Answer(status=answer.http_status or 0, headers={}, body=b"", asked_at=time.time()), answer
        self._outage.answered()
        await self._learn(answer.ms / 1000, permit)
        self.counters.answers += 1
        return answer, self._own(self._provider.read(call.request, answer))

    async def _learn(self, took: float, permit: Permit) -> None:
        """Learn from the seconds an attempt took, and tell the pacer where its send arrived late."""
        self._concurrency.answered(took)
        late = self._late_arrivals.of(took - ((permit.sent_at or permit.granted_at) - permit.granted_at))
        if late:
            await self._pacer.late(permit, late)

    def _meet(self, problem: Problem, permit: Permit) -> None:
        """Learn from a fault whether the service is there; raises Unreachable where it has long not been."""
        if problem.kind != "transient" or problem.http_status is not None:
            return
        try:
            self._outage.missed(problem, permit, current_time())
        except Unreachable:
            self.close_intake()
            raise

    def _own(self, outcome: Outcome) -> Outcome:
        """Take a wrong setting for a fault once the service has answered others: one row must not stop every run."""
        if isinstance(outcome, Problem) and outcome.kind == "misconfigured" and self._success_at:
            return replace(outcome, kind="transient")
        return outcome

    def _count(self, call: _Call, permit: Permit) -> None:
        """Count what left: an attempt that never reached the wire was charged, but is no call."""
        if not permit.left:
            return
        call.sends += 1
        self._budget.sent()
        self.counters.retries += call.sends > 1

    async def _react(self, call: _Call, permit: Permit, answer: Answer, outcome: Outcome) -> float | None:
        """Stop or pause everyone where the outcome asks for it; return how long the row itself has to wait."""
        if not isinstance(outcome, Problem) or outcome.kind == "row":
            self._succeeded(permit)
            return 0.0
        asked = usable(outcome.retry_after) or retry_after(answer.headers)
        self._stop_if_final(outcome, asked)
        # What was in flight when a pause began failed for a reason already known: it counts for nothing more.
        known = (permit.sent_at or permit.granted_at) <= self._paused_from
        if outcome.kind == "throttled":
            return await self._throttled(call, permit, asked, known=known)
        self.counters.faults += 1
        self._faults += not known
        if not permit.left:
            # Nobody is there, which is no row's fault: everyone waits, and one request at a time looks again.
            if not known:
                await self._pause(self._patience(self._faults - 1), None)
            return None
        if asked or (self._faults >= OUTAGE and not known):
            await self._pause(max(asked or 0.0, self._patience(self._faults - OUTAGE)), None)
        return 0.0

    async def _throttled(self, call: _Call, permit: Permit, asked: float | None, *, known: bool) -> float | None:
        """Pause everyone, unless others were answered since this row was refused last: then it is the row's own."""
        self.counters.refusals += 1
        own = call.throttled_at is not None and self._success_at > call.throttled_at
        call.throttled_at = current_time()
        if own:
            return asked or 0.0
        # The first pauses are as long as asked for; a service that keeps refusing after them gets more patience.
        self._refused += not known
        if asked or not known:
            await self._pause(max(asked or self._policy.first_wait, self._patience(self._refused - 3)), permit)
        return None

    def _succeeded(self, permit: Permit) -> None:
        self._success_at = permit.sent_at or self._success_at
        if self._success_at > self._paused_from:
            self._refused = self._faults = 0
            self._concurrency.recovered()

    def _stop_if_final(self, problem: Problem, asked: float | None) -> None:
        """Raise where no other row could fare better, or the wait asked for is longer than may be waited."""
        too_long = asked is not None and asked > self._policy.row_timeout
        if too_long or problem.kind in {"refused", "misconfigured", "quota"}:
            self.close_intake()
        if problem.kind == "refused":
            raise KeyRefused(problem.message)
        if problem.kind == "misconfigured":
            raise Misconfigured(problem.message)
        if problem.kind == "quota" or too_long:
            later = datetime.now(UTC) + timedelta(seconds=min(asked, LONGEST_RESUME)) if asked else None
            raise QuotaUsedUp(problem.message, resume_after=later)

    def _patience(self, exponent: int) -> float:
        """Return the exponential wait after so many troubles too many, 0 as long as there are none."""
        if exponent < 0:
            return 0.0
        return min(self._policy.first_wait * 2.0 ** min(exponent, 30), self._policy.max_wait)

    async def _pause(self, seconds: float, refused: Permit | None) -> None:
        """Pause everyone, and let one request alone try the service afterwards."""
        now = current_time()
        await self._pacer.pause(seconds, refused)
        self._concurrency.troubled()
        if now >= self._paused_until:
            self._paused_from = now
            self.counters.pauses += 1
        self.counters.paused += max(0.0, now + seconds - max(now, self._paused_until))
        self._paused_until = max(self._paused_until, now + seconds)
