"""Sends to one service: one gate, one pacer, one pool of connections, retries and pauses for all workers of a run."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Final, Self

from anyio import CancelScope, current_time, to_thread
from pydantic import SecretStr

from pipeline.errors import OutputError, Unreachable
from pipeline.fetch.client_state import ClientState
from pipeline.fetch.fallbacks import Fallbacks
from pipeline.fetch.meter import Charge, Meter, Unmetered
from pipeline.fetch.outage import OutageDetector
from pipeline.fetch.pacing.concurrency import Concurrency
from pipeline.fetch.pacing.late_arrivals import LateArrivals
from pipeline.fetch.pacing.pace import Permit
from pipeline.fetch.pacing.pacer import Gate, Pacer
from pipeline.fetch.policy import FetchCounters, FetchPolicy
from pipeline.fetch.reaction import Attempt, Reaction, Standing, react
from pipeline.fetch.reading import read_outcome
from pipeline.fetch.retry import RetryBudget, Retrying, Try
from pipeline.fetch.transport import Transport, WithheldError
from pipeline.providers.base import Service
from pipeline.records import Answer, Outcome, Problem, Request, Usage

LARGE_BODY: Final = 128 * 1024  # bytes: what takes some 3 ms to be read, and most answers are smaller


@dataclass(slots=True)
class _Call:
    """One request on its way through its attempts."""

    number: int
    request: Request
    sends: int = 0
    throttled_at: float | None = None
    fallbacks: frozenset[str] = frozenset()


class Fetcher:
    """Sends requests to a service, within its policy, for everyone who calls `fetch`; an async context manager.

    `meter` counts each send before it leaves and may raise QuotaUsedUp. `counters` is updated as the run goes on.
    `client_state` is what the service gives its client to keep; by default it ends with the Fetcher.
    """

    def __init__(
        self,
        service: Service,
        key: SecretStr | None,
        policy: FetchPolicy,
        *,
        pacer: Pacer,
        meter: Meter | None = None,
        counters: FetchCounters | None = None,
        client_state: ClientState | None = None,
    ) -> None:
        self.counters = counters or FetchCounters()
        self._service = service
        self._retry = policy.retry
        self._pacer = pacer
        self._meter = meter or Unmetered()
        self._fallbacks = Fallbacks(service)
        self._outage = OutageDetector(service.endpoint, policy.retry.row_timeout)
        self._concurrency = Concurrency(policy.rate)
        self._late_arrivals = LateArrivals()
        self._has_rate = policy.rate.qps > 0
        self._gate = Gate(pacer, self._concurrency)
        self._budget = RetryBudget()
        self._retrying = Retrying(policy.retry, self._budget, self._gate.sleep)
        self._client_state = client_state or ClientState(header=service.client_state)
        self._transport = Transport(
            service,
            key,
            policy.retry.request_timeout,
            pacer=pacer,
            counters=self.counters,
            client_state=self._client_state,
        )
        self._standing = Standing(has_answered=policy.has_answered)
        self._calls = 0

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
        """Return True if nothing moves on purpose, which is no stall."""
        return self._gate.waits

    @property
    def trouble(self) -> str:
        """What keeps the service from answering, in words; empty where it answers."""
        return self._outage.trouble

    @property
    def paused_for(self) -> float:
        """How many seconds are left of a pause for everyone, whichever process began it."""
        return max(0.0, self._pacer.pause.until - current_time())

    async def fetch(self, request: Request) -> tuple[Answer, Outcome]:
        """Return the answer and what it means; a Problem of kind transient or throttled was tried to the end.

        Raises KeyRefused, QuotaUsedUp and Misconfigured, which close the intake; IntakeClosed once it is closed.
        An answer of status 0 means that nothing came back.
        """
        self._calls += 1
        call = _Call(self._calls, request)
        result = await self._retrying.run(partial(self._attempt, call))
        answer = result.answer if call.sends == 1 else replace(result.answer, attempts=call.sends)
        return answer, result.outcome

    async def _attempt(self, call: _Call) -> Try:
        while True:
            fallbacks = call.fallbacks | self._fallbacks.for_all
            request = self._fallbacks.applied(call.request, fallbacks)
            estimate = self._service.estimate(request)
            async with self._gate.permit(estimate.amount) as permit:
                if self._fallbacks.for_all - fallbacks:
                    continue  # while this one waited, another one's answer has shown how to send it
                charge = await self._meter.charge(estimate)
                try:
                    answer, outcome = await self._send(call, request, permit)
                except WithheldError:
                    continue
                finally:
                    if not permit.left:
                        await self._refund(charge)
                if answer.status:
                    await self._settle(request, answer, outcome, permit, charge)
                if fallback := self._fallbacks.wanted(outcome, fallbacks):
                    call.fallbacks |= {fallback}
                    continue
                reaction = await self._react(call, permit, answer, outcome)
                return Try(answer=answer, outcome=reaction.outcome, own_wait=reaction.own_wait)

    async def _settle(self, request: Request, answer: Answer, outcome: Outcome, permit: Permit, charge: Charge) -> None:
        """Put what a call used in the place of its estimate, in money and in the pace; heed what is left of limits."""
        usage, advice = self._service.usage(request, answer), self._service.advice(answer)
        self._meter.settle(charge, usage)
        amount = 0.0 if _is_throttled(outcome) else counted_amount(self._service.estimate(request), usage)
        if amount != permit.amount or advice.calls or advice.amount:
            await self._pacer.answered(permit, amount, advice)

    async def _refund(self, charge: Charge) -> None:
        """Take back a charge for what never left; a count that can't be written stays too high, which is safe."""
        with CancelScope(shield=True), suppress(OutputError):
            await self._meter.refund(charge)

    async def _send(self, call: _Call, request: Request, permit: Permit) -> tuple[Answer, Outcome]:
        answer = await self._transport.send(request, permit)
        self._count(call, permit)
        if isinstance(answer, Problem):
            self._note_fault(answer, permit)
            return Answer(status=answer.http_status or 0, headers={}, body=b"", asked_at=time.time()), answer
        self._outage.answered()
        await self._learn(answer.ms / 1000, permit)
        self.counters.answers += 1
        outcome = await self._read(request, answer)
        if isinstance(outcome, Problem) and self._client_state.is_named_by(outcome):
            self._client_state.forget()
        return answer, outcome

    async def _read(self, request: Request, answer: Answer) -> Outcome:
        """Read an answer; a large one in a thread, so that the event loop goes on.

        It was paid for: no cancellation takes it away.
        """
        if len(answer.body) < LARGE_BODY:
            return read_outcome(self._service, request, answer)
        with CancelScope(shield=True):
            outcome = await to_thread.run_sync(read_outcome, self._service, request, answer)
        return outcome  # noqa: RET504 - a scope may end without a value, as far as types say

    async def _learn(self, took: float, permit: Permit) -> None:
        """Learn from the seconds an attempt took, and tell the pacer where its send may have arrived late."""
        self._concurrency.answered(took)
        if not self._has_rate:
            return
        late = self._late_arrivals.of(took - ((permit.sent_at or permit.granted_at) - permit.granted_at))
        if late:
            await self._pacer.late(permit, late)

    def _note_fault(self, problem: Problem, permit: Permit) -> None:
        """Learn from a fault whether the service is there; raises Unreachable where it has long not been."""
        if problem.kind != "transient" or problem.http_status is not None:
            return
        try:
            self._outage.missed(problem, permit, current_time())
        except Unreachable:
            self.close_intake()
            raise

    def _count(self, call: _Call, permit: Permit) -> None:
        """Count what left: an attempt that never reached the wire was charged, but is no call."""
        if not permit.left:
            return
        call.sends += 1
        self._budget.count_send()
        self.counters.retries += call.sends > 1

    async def _react(self, call: _Call, permit: Permit, answer: Answer, outcome: Outcome) -> Reaction:
        """Do what the outcome means for everyone: stop, pause, or let the others follow."""
        wait = None
        if isinstance(outcome, Problem):
            wait = outcome.retry_after or self._service.advice(answer).wait or None
        attempt = Attempt(
            request=call.number,
            granted_at=permit.granted_at,
            sent_at=permit.sent_at,
            has_left=permit.left,
            throttled_at=call.throttled_at,
            paused_from=self._pacer.pause.start,
        )
        reaction = react(outcome, wait, attempt, self._standing, self._retry)
        self._standing = reaction.standing
        if reaction.stop is not None:
            self.close_intake()
            raise reaction.stop
        if reaction.has_recovered:
            self._concurrency.recovered()
        self._count_problem(call, reaction.outcome)
        if reaction.pause is not None:
            by_amount = isinstance(outcome, Problem) and outcome.by_amount
            await self._pause(reaction.pause, permit if reaction.is_too_fast else None, by_amount=by_amount)
        return reaction

    def _count_problem(self, call: _Call, outcome: Outcome) -> None:
        if not isinstance(outcome, Problem) or outcome.kind in {"row", "unreadable"}:
            return
        if outcome.kind == "throttled":
            self.counters.refusals += 1
            call.throttled_at = current_time()
        else:
            self.counters.faults += 1

    async def _pause(self, seconds: float, refused: Permit | None, *, by_amount: bool) -> None:
        """Pause everyone, and let one request alone try the service afterwards."""
        now, until = current_time(), self._pacer.pause.until
        await self._pacer.begin_pause(seconds, refused, by_amount=by_amount)
        self._concurrency.troubled()
        self.counters.pauses += now >= until
        self.counters.paused += max(0.0, now + seconds - max(now, until))


def counted_amount(estimate: Usage, usage: Usage) -> float:
    """Return what a service counts against its limit on tokens or units.

    Of a model's output that is as much as was asked for at most, whatever it then says (OpenAI's guide to rate limits).
    """
    if usage.tokens_in:
        return usage.tokens_in + max(usage.tokens_out, estimate.tokens_out)
    return usage.amount or estimate.amount


def _is_throttled(outcome: Outcome) -> bool:
    return isinstance(outcome, Problem) and outcome.kind == "throttled"
