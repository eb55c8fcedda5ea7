"""Whether and when a request is tried again: tenacity's loop around decisions of ours. Pure but for that loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from anyio import current_time
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, wait_random_exponential

from pipeline.fetch.policy import RetryPolicy
from pipeline.records import Answer, Outcome, Problem

BUDGET_SHARE: Final = 0.1
BUDGET_FLOOR: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One attempt's end; `own_wait` is how long this row alone must wait, None where everyone waits at the gate."""

    answer: Answer
    outcome: Outcome
    own_wait: float | None = 0.0

    @property
    def is_retryable(self) -> bool:
        """Return True if another attempt may succeed."""
        return isinstance(self.outcome, Problem) and self.outcome.kind in {"transient", "throttled"}


class RetryBudget:
    """Keeps a failing service from being sent ever more: retries for faults are at most a tenth of all sends."""

    def __init__(self) -> None:
        self._sends = 0
        self._retries = 0

    def count_send(self) -> None:
        """Count a send."""
        self._sends += 1

    def spend(self) -> bool:
        """Take one retry from the budget, if it holds one."""
        if self._retries >= BUDGET_FLOOR + BUDGET_SHARE * self._sends:
            return False
        self._retries += 1
        return True


class Retrying:
    """Repeats one request's attempts within the policy and the run's budget.

    An attempt refused because everyone was too fast costs the row none of its `attempts`: it has only waited. What
    bounds it is `row_timeout`.
    """

    def __init__(self, policy: RetryPolicy, budget: RetryBudget, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._policy = policy
        self._budget = budget
        self._sleep = sleep
        self._backoff = wait_random_exponential(multiplier=policy.first_wait, max=policy.max_wait)

    async def run(self, attempt: Callable[[], Awaitable[Try]]) -> Try:
        """Attempt until it succeeds, fails for good or nothing is left to try with; return the last attempt."""
        started = current_time()
        first = await attempt()
        if not first.is_retryable:  # tenacity's loop costs as much as half a request
            return first
        request = _Repetition(self._policy, self._budget, started)
        retrying = AsyncRetrying(
            wait=self._wait,
            stop=request.is_over,
            retry=retry_if_result(lambda result: result.is_retryable),
            sleep=self._sleep,
            retry_error_callback=_result,
            reraise=True,
        )
        return await retrying(_after(first, attempt))

    def _wait(self, state: RetryCallState) -> float:
        own = _result(state).own_wait
        return 0.0 if own is None else max(own, self._backoff(state))


@dataclass(slots=True)
class _Repetition:
    """What one request has used up of its tries."""

    policy: RetryPolicy
    budget: RetryBudget
    started: float
    faults: int = 0

    def is_over(self, state: RetryCallState) -> bool:
        """Return True if no time, no attempt or no budget is left."""
        if current_time() - self.started + state.upcoming_sleep > self.policy.row_timeout:
            return True
        if _result(state).own_wait is None:
            return False
        self.faults += 1
        return self.faults >= self.policy.attempts or not self.budget.spend()


def _after(first: Try, attempt: Callable[[], Awaitable[Try]]) -> Callable[[], Awaitable[Try]]:
    """Return a function that gives the first attempt, which has been made, and makes the others."""
    made = [first]

    async def next_try() -> Try:
        return made.pop() if made else await attempt()

    return next_try


def _result(state: RetryCallState) -> Try:
    assert state.outcome is not None
    result: Try = state.outcome.result()
    return result
