"""The pacer owns the pause: a run shows, and keeps, the one that another run with the same key has begun."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from aioresponses import aioresponses
from anyio import current_time
from pydantic import SecretStr

from pipeline.fetch.fetcher import Fetcher
from pipeline.fetch.pacing.file_pacer import file_pacer
from pipeline.fetch.policy import FetchPolicy, RateLimit, RetryPolicy
from pipeline.records import Reading, Request

if TYPE_CHECKING:
    from tests.fetch.conftest import Small

VIRTUAL_CLOCK = True
ENDPOINT = "http://127.0.0.1:9/v1"
URL = f"{ENDPOINT}/ask"
POST = Request(method="POST", target="/ask", form="bytes", body=b"picture")
LIMITS = RateLimit(qps=100)
POLICY = FetchPolicy(rate=LIMITS, retry=RetryPolicy(row_timeout=600.0))


async def test_a_pause_of_another_run_is_shown_and_kept(small: type[Small], key: SecretStr, tmp_path: Path) -> None:
    """One run is told to wait for a minute; the other knows for how long, and sends nothing in that time."""
    path = tmp_path / "pace"
    with aioresponses() as mock:
        mock.post(URL, status=429, headers={"Retry-After": "60"})
        mock.post(URL, body="{}", repeat=True)
        async with (
            file_pacer(path, LIMITS) as one_pacer,
            file_pacer(path, LIMITS) as other_pacer,
            Fetcher(small(ENDPOINT), key, POLICY, pacer=one_pacer) as one,
            Fetcher(small(ENDPOINT), key, POLICY, pacer=other_pacer) as other,
            anyio.create_task_group() as tasks,
        ):
            assert (one.paused_for, other.paused_for) == (0.0, 0.0)
            tasks.start_soon(one.fetch, POST)
            while not one.counters.pauses:  # noqa: ASYNC110 - the clock is virtual: nothing is waited for
                await anyio.sleep(0.01)
            began = current_time()
            assert 59 < other.paused_for <= 60
            assert one.paused_for == other.paused_for
            _, outcome = await other.fetch(POST)
            assert isinstance(outcome, Reading)
            assert current_time() - began > 59
            assert other.counters.pauses == other.counters.sent_while_paused == 0
