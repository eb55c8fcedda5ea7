"""When a request is tried again, on a clock that jumps."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest
from anyio import current_time

from pipeline.fetch.policy import RetryPolicy
from pipeline.fetch.retry import BUDGET_FLOOR, RetryBudget, Retrying, Try
from pipeline.records import Answer, Problem, ProblemKind, Reading
from pipeline.schema import no_insights

VIRTUAL_CLOCK = True
ANSWER = Answer(status=200, headers={}, body=b"", asked_at=0.0)


def failed(kind: ProblemKind = "transient", own_wait: float | None = 0.0) -> Try:
    problem = Problem(kind=kind, code="some-code", message="it did not work")
    return Try(answer=ANSWER, outcome=problem, own_wait=own_wait)


def done() -> Try:
    return Try(answer=ANSWER, outcome=Reading(insights=no_insights()))


class Script:
    """Attempts that end as told, the last one again and again; notes when each was made."""

    def __init__(self, *results: Try, takes: float = 0.0) -> None:
        self.results = list(results)
        self.takes = takes
        self.at: list[float] = []

    async def attempt(self) -> Try:
        """End as the next result says."""
        self.at.append(current_time())
        await anyio.sleep(self.takes)
        return self.results.pop(0) if len(self.results) > 1 else self.results[0]

    def gaps(self) -> list[float]:
        """Return the seconds between the attempts."""
        return [after - before for before, after in zip(self.at, self.at[1:], strict=False)]


def retrying(budget: RetryBudget | None = None, **policy: float) -> Retrying:
    return Retrying(RetryPolicy(**policy), budget or RetryBudget(), anyio.sleep)  # type: ignore[arg-type]  # attempts


@pytest.mark.parametrize("result", [done(), failed("row")], ids=["success", "row"])
async def test_what_is_final_is_not_repeated(result: Try) -> None:
    """A success, and a problem that lies in the row, end it."""
    script = Script(result)
    assert await retrying().run(script.attempt) is result
    assert len(script.at) == 1


async def test_faults_are_tried_as_often_as_the_policy_says() -> None:
    """After the last attempt its problem is returned, not raised; the waits are jittered and grow to their bound."""
    script = Script(failed())
    last = await retrying(attempts=8, first_wait=1.0, max_wait=10.0).run(script.attempt)
    assert isinstance(last.outcome, Problem)
    assert len(script.at) == 8
    bounds = [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]
    assert all(0 <= gap <= bound for gap, bound in zip(script.gaps(), bounds, strict=True))
    assert len(set(script.gaps())) == 7


async def test_a_later_attempt_may_succeed() -> None:
    """A fault, then a success: the success counts."""
    good = done()
    assert await retrying().run(Script(failed(), good).attempt) is good


async def test_the_rows_own_wait_is_kept() -> None:
    """A row that alone was refused waits as long as it was told."""
    script = Script(failed("throttled", own_wait=40.0), done())
    await retrying(first_wait=0.1, max_wait=1.0).run(script.attempt)
    assert script.gaps() == [pytest.approx(40.0)]


async def test_waiting_with_everyone_costs_no_attempt() -> None:
    """What everyone waited for at the gate counts for the row's time only."""
    script = Script(failed("throttled", own_wait=None), takes=10.0)
    await retrying(attempts=3, row_timeout=95.0).run(script.attempt)
    assert len(script.at) == 10


async def test_a_rows_time_is_bounded() -> None:
    """No attempt starts later than row_timeout after the first."""
    script = Script(failed(), takes=30.0)
    await retrying(attempts=100, row_timeout=100.0).run(script.attempt)
    assert script.at[-1] - script.at[0] <= 100.0
    assert len(script.at) in {3, 4}


async def test_retries_are_a_tenth_of_all_sends() -> None:
    """When most sends fail, retries stay within the budget of the whole run."""
    budget = RetryBudget()
    attempts = 0

    async def attempt() -> Try:
        nonlocal attempts
        attempts += 1
        budget.count_send()
        return failed()

    for _ in range(1000):
        await retrying(budget, attempts=5).run(attempt)
    assert attempts - 1000 <= BUDGET_FLOOR + 0.1 * attempts + 1
    assert attempts >= 1000 + BUDGET_FLOOR


def test_the_budget_refills_with_sends() -> None:
    """An empty budget has one more retry after ten more sends."""
    budget = RetryBudget()
    spend: Callable[[], bool] = budget.spend
    assert sum(spend() for _ in range(100)) == BUDGET_FLOOR
    for _ in range(10):
        budget.count_send()
    assert [spend(), spend()] == [True, False]
