"""What the outcome of one attempt means for everyone who sends to a service: go on, pause, or stop. Pure.

The decision is a value; the fetcher acts on it. Times are seconds of the run's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from pipeline.errors import KeyRefused, Misconfigured, PipelineError, QuotaUsedUp
from pipeline.fetch.policy import RetryPolicy
from pipeline.records import Outcome, Problem

OUTAGE: Final = 5  # faults one after another, over all rows, that are the service's trouble and not a row's
DENIALS: Final = frozenset({"refused", "misconfigured"})
BELIEVED_DENIALS: Final = 3  # rows one after another, of a service that has answered before
PATIENT_REFUSALS: Final = 3  # pauses that are only as long as asked for; after them they grow


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt of the request number `request`.

    `sent_at` is None where nothing left; `throttled_at` is when this request was throttled before, if it was;
    `paused_from` is when the last pause for everyone began.
    """

    request: int
    granted_at: float
    sent_at: float | None
    has_left: bool
    throttled_at: float | None
    paused_from: float

    @property
    def is_known(self) -> bool:
        """Return True for an attempt that was under way when a pause began: it fails for a reason already known."""
        return (self.sent_at or self.granted_at) <= self.paused_from


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the attempts so far say of the service.

    `refusals` (as too fast), `faults` and `denied` (the requests that were answered with a refused key or a wrong
    setting) are counted since the last success; `success_at` is when that one was sent, 0 where there was none.
    `has_answered` is true from the first success on, which may have been in an earlier run.
    """

    refusals: int = 0
    faults: int = 0
    denied: frozenset[int] = frozenset()
    success_at: float = 0.0
    has_answered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """What is to be done after an attempt.

    `outcome` is what the attempt's row is told. `own_wait` is how long this row alone waits before it tries again,
    None where it waits with everyone. `pause` lets everyone wait; with `is_too_fast` the pace is corrected as well.
    `stop` ends the run. `has_recovered`: the service answers again, so others may follow.
    """

    standing: Standing
    outcome: Outcome
    own_wait: float | None = 0.0
    pause: float | None = None
    is_too_fast: bool = False
    has_recovered: bool = False
    stop: PipelineError | None = None


def react(outcome: Outcome, wait: float | None, attempt: Attempt, standing: Standing, policy: RetryPolicy) -> Reaction:
    """Decide what an outcome means; `wait` is for how many seconds the service asked to be left alone, if it did."""
    if not isinstance(outcome, Problem) or outcome.kind in {"row", "unreadable"}:
        return _succeeded(outcome, attempt, standing)
    stop = _final(outcome, wait, attempt, standing, policy)
    if stop is not None:
        return Reaction(standing=standing, outcome=outcome, stop=stop)
    if outcome.kind == "throttled":
        return _throttled(outcome, wait, attempt, standing, policy)
    if outcome.kind in DENIALS:
        return Reaction(standing=replace(standing, denied=standing.denied | {attempt.request}), outcome=outcome)
    return _failed(outcome, wait, attempt, standing, policy)


def _succeeded(outcome: Outcome, attempt: Attempt, standing: Standing) -> Reaction:
    success_at = attempt.sent_at or standing.success_at
    has_recovered = success_at > attempt.paused_from
    refusals, faults = (0, 0) if has_recovered else (standing.refusals, standing.faults)
    standing = Standing(refusals=refusals, faults=faults, success_at=success_at, has_answered=True)
    return Reaction(standing=standing, outcome=outcome, has_recovered=has_recovered)


def _final(
    problem: Problem, wait: float | None, attempt: Attempt, standing: Standing, policy: RetryPolicy
) -> PipelineError | None:
    """Return what ends the run: no other row could fare better, or the wait is longer than a row may take."""
    if problem.kind in DENIALS and _is_believed(attempt, standing):
        kind = KeyRefused if problem.kind == "refused" else Misconfigured
        return kind(problem.message)
    if problem.kind == "quota" or (wait is not None and wait > policy.row_timeout):
        later = datetime.now(UTC) + timedelta(seconds=wait) if wait else None
        return QuotaUsedUp(problem.message, resume_after=later)
    return None


def _is_believed(attempt: Attempt, standing: Standing) -> bool:
    """Return True unless the service has answered before: then several rows in a row have to be denied."""
    return not standing.has_answered or len(standing.denied | {attempt.request}) >= BELIEVED_DENIALS


def _throttled(
    problem: Problem, wait: float | None, attempt: Attempt, standing: Standing, policy: RetryPolicy
) -> Reaction:
    """Pause everyone, unless others were answered since this row was refused last: then it waits by itself."""
    if attempt.throttled_at is not None and standing.success_at > attempt.throttled_at:
        return Reaction(standing=standing, outcome=problem, own_wait=wait or 0.0)
    if not attempt.is_known:
        standing = replace(standing, refusals=standing.refusals + 1)
    elif not wait:
        return Reaction(standing=standing, outcome=problem, own_wait=None)
    pause = max(wait or policy.first_wait, _patience(standing.refusals - PATIENT_REFUSALS, policy))
    return Reaction(standing=standing, outcome=problem, own_wait=None, pause=pause, is_too_fast=True)


def _failed(
    problem: Problem, wait: float | None, attempt: Attempt, standing: Standing, policy: RetryPolicy
) -> Reaction:
    """Pause everyone where nobody is there, where the service asks for it, or where it fails for everyone."""
    if not attempt.is_known:
        standing = replace(standing, faults=standing.faults + 1)
    if not attempt.has_left:
        # Nobody is there, which is no row's fault: everyone waits, and one request at a time tries again.
        pause = None if attempt.is_known else _patience(standing.faults - 1, policy)
        return Reaction(standing=standing, outcome=problem, own_wait=None, pause=pause)
    if wait or (standing.faults >= OUTAGE and not attempt.is_known):
        pause = max(wait or 0.0, _patience(standing.faults - OUTAGE, policy))
        return Reaction(standing=standing, outcome=problem, pause=pause)
    return Reaction(standing=standing, outcome=problem)


def _patience(exponent: int, policy: RetryPolicy) -> float:
    """Return the exponential wait after so many troubles too many, 0 for a negative exponent."""
    if exponent < 0:
        return 0.0
    return float(min(policy.first_wait * 2.0 ** min(exponent, 30), policy.max_wait))
