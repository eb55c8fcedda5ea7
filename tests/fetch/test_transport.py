"""What one send counts for, whatever is faster: the service's answer or the pacer's word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import SocketStream
from pydantic import SecretStr

from pipeline.fetch.fetcher import Fetcher
from pipeline.fetch.pacing.pace import Permit
from pipeline.fetch.pacing.pacer import ProcessPacer
from pipeline.fetch.policy import FetchPolicy, RateLimit, RetryPolicy
from pipeline.records import Reading, Request

if TYPE_CHECKING:
    from tests.fetch.conftest import ScriptedServer, Small

POST = Request(method="POST", target="/ask", form="bytes", body=b"picture")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
LIMITS = RateLimit(qps=0)


class SlowPacer(ProcessPacer):
    """Says that a send has left only when `may_settle` is set, or when it is asked a second time."""

    def __init__(self) -> None:
        super().__init__(LIMITS)
        self.may_settle = anyio.Event()
        self.settled: list[bool] = []

    async def settle(self, permit: Permit, *, sent: bool) -> None:
        """See Pacer."""
        waits, self.may_settle = self.may_settle, anyio.Event()
        self.may_settle.set()
        await waits.wait()
        await super().settle(permit, sent=sent)
        self.settled.append(sent)


def fetcher(small: type[Small], endpoint: str, pacer: ProcessPacer, key: SecretStr) -> Fetcher:
    policy = FetchPolicy(rate=LIMITS, retry=RetryPolicy(attempts=1))
    return Fetcher(small(endpoint), key, policy, pacer=pacer)


@pytest.mark.parametrize("whole", [True, False], ids=["the whole answer is faster", "its head is faster"])
async def test_a_send_counts_once_where_the_answer_outruns_the_pacer(
    whole: bool, scripted: type[ScriptedServer], small: type[Small], key: SecretStr
) -> None:
    """One call, settled as sent exactly once, and in the window of sends."""
    pacer = SlowPacer()
    may_settle = pacer.may_settle

    async def answer(stream: SocketStream) -> None:
        await stream.send(HEAD)
        if not whole:
            await anyio.wait_all_tasks_blocked()  # the head has been read
            may_settle.set()
            await anyio.wait_all_tasks_blocked()
        await stream.send(b"{}")

    async with scripted(answer).running() as server, fetcher(small, server.endpoint, pacer, key) as opened:
        _, outcome = await opened.fetch(POST)
    assert isinstance(outcome, Reading)
    assert (opened.counters.calls, pacer.settled) == (1, [True])


async def test_a_send_broken_off_before_the_pacer_knew_of_it_counts_as_sent(
    scripted: type[ScriptedServer], small: type[Small], key: SecretStr
) -> None:
    """The service may have seen it: giving its permit back would let one too many leave."""
    pacer = SlowPacer()

    async def leave(stream: SocketStream) -> None:
        await stream.aclose()

    async with scripted(leave).running() as server, fetcher(small, server.endpoint, pacer, key) as opened:
        answer, _ = await opened.fetch(POST)
    assert (answer.status, opened.counters.calls, pacer.settled) == (0, 1, [True])
