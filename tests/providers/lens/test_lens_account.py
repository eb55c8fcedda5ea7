"""What the free account call tells: a refused key, a used-up hour, a used-up month; when it is made."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import anyio
import pytest
from pydantic import SecretStr

from pipeline import run
from pipeline.providers.lens import account
from pipeline.providers.lens.account import Account, Allowance, allowance_of
from pipeline.report.tally import Tally
from tests.clocks import leap
from tests.providers.lens.conftest import MakeJob, lens
from tests.providers.lens.fake_serpapi import KEY, FakeSerpApi
from tests.waiting import until

HOUR = 3600.0
NOW = 500_000 * HOUR - 30.0  # half a minute before a full hour


def allowance(**counts: object) -> Allowance:
    return allowance_of(200, counts, NOW)


def test_an_account_with_searches_is_against_nothing() -> None:
    """Nor is one that says nothing, or something else than numbers."""
    full = allowance(total_searches_left=5, this_hour_searches=3, account_rate_limit_per_hour=10)
    assert full.problem(NOW) is None
    assert allowance(total_searches_left="0", account_rate_limit_per_hour=None).problem(NOW) is None
    assert allowance_of(404, {}, NOW).problem(NOW) is None
    assert allowance_of(200, None, NOW).problem(NOW) is None


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_can_be_refused(status: int) -> None:
    """Whatever the body is."""
    problem = allowance_of(status, None, NOW).problem(NOW)
    assert problem is not None
    assert (problem.kind, problem.code) == ("refused", "key-refused")


def test_a_month_can_be_used_up() -> None:
    """That is a quota; credits bought beside the plan count as well."""
    problem = allowance(total_searches_left=0, searches_per_month=5000).problem(NOW)
    assert problem is not None
    assert (problem.kind, problem.code) == ("quota", "out-of-searches")
    assert allowance(plan_searches_left=0, extra_credits=3, total_searches_left=3).problem(NOW) is None


@pytest.mark.parametrize("name", ["this_hour_searches", "last_hour_searches"])
def test_an_hour_can_be_used_up(name: str) -> None:
    """Until the next one begins, whenever that was looked at; the older name of the count is known."""
    used = allowance(**{name: 200, "account_rate_limit_per_hour": 200})
    problem = used.problem(NOW + 10)
    assert problem is not None
    assert (problem.kind, problem.code, problem.retry_after) == ("throttled", "hourly-limit", 20.0)
    assert used.problem(NOW + 30) is None


async def test_it_is_looked_at_once_a_minute(serpapi_fake: FakeSerpApi) -> None:
    """However many ask; a key that is good is returned as it is."""
    provider, key = lens(endpoint=serpapi_fake.endpoint), SecretStr(KEY)
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(provider.token, key)
    assert await provider.token(key) == key
    assert serpapi_fake.account_calls == 1
    leap(61)
    await provider.token(key)
    assert serpapi_fake.account_calls == 2


async def test_an_account_that_cannot_be_reached_is_against_nothing() -> None:
    """The search that follows will tell."""
    assert await Account("http://127.0.0.1:1").problem(SecretStr(KEY)) is None


async def test_a_used_up_hour_is_waited_for(
    job: MakeJob, serpapi_fake: FakeSerpApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is short enough; no search is sent before, and no row fails because of it."""
    clock = [NOW]
    monkeypatch.setattr(account, "time", SimpleNamespace(time=lambda: clock[0]))
    serpapi_fake.per_hour, serpapi_fake.this_hour = 200, 200

    async def wait_out(_tally: Tally, waits_for: Callable[[], str]) -> None:
        await until(lambda: "paused" in waits_for(), "everyone waits")
        assert serpapi_fake.searches == []
        serpapi_fake.this_hour = 0
        clock[0] += 31
        leap(31)
        await anyio.sleep_forever()

    report = await run(job(3), progress=wait_out)
    assert (report.exit_code, report.tally.ok, len(serpapi_fake.searches)) == (0, 3, 3), report.summary()


async def test_a_search_that_is_refused_learns_why_from_the_account(job: MakeJob, serpapi_fake: FakeSerpApi) -> None:
    """A bare 429 says nothing; a minute later the account says that no searches are left."""
    serpapi_fake.faults.append({"status": 429, "error": ""})

    async def wait_out(_tally: Tally, waits_for: Callable[[], str]) -> None:
        await until(lambda: "paused" in waits_for(), "everyone waits")
        serpapi_fake.left = 0
        leap(61)
        await anyio.sleep_forever()

    report = await run(job(3, limits={"concurrency": 1}), progress=wait_out)
    assert (report.exit_code, len(serpapi_fake.searches), serpapi_fake.account_calls) == (5, 1, 2)
    assert "the account has no searches left" in str(report.cause)
