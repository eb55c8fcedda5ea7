"""A service whose key is exchanged for tokens that expire: the current one is sent, and none is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from anyio.abc import SocketStream
from pydantic import SecretStr

from pipeline.errors import KeyRefused
from pipeline.fetch.fetcher import Fetcher
from pipeline.fetch.pacing.pacer import ProcessPacer
from pipeline.fetch.policy import FetchPolicy, RateLimit, RetryPolicy
from pipeline.records import Problem, Reading, Request
from tests.fetch.conftest import Small

if TYPE_CHECKING:
    from tests.fetch.conftest import ScriptedServer

POST = Request(method="POST", target="/ask", form="bytes", body=b"picture")
UNREACHABLE = Problem(kind="transient", code="token-unreachable", message="no token can be had now")
REFUSED = Problem(kind="refused", code="token-refused", message="the account is not known")


class WithTokens(Small):
    """Gives the next of its tokens for each send."""

    def __init__(self, endpoint: str, *tokens: str | Problem) -> None:
        super().__init__(endpoint)
        self.tokens = list(tokens)

    async def token(self, key: SecretStr) -> SecretStr | Problem:
        """See TokenService."""
        assert key.get_secret_value().startswith("key-")
        token = self.tokens.pop(0)
        return SecretStr(token) if isinstance(token, str) else token


async def echo(stream: SocketStream) -> None:
    """Answer with every token that there is."""
    body = b'{"said": "first-token-0123 second-token-4567"}'
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def fetcher(service: Small, key: SecretStr) -> Fetcher:
    limits = RateLimit(qps=0)
    policy = FetchPolicy(rate=limits, retry=RetryPolicy(attempts=2, first_wait=0.001, max_wait=0.001))
    return Fetcher(service, key, policy, pacer=ProcessPacer(limits))


async def test_each_send_has_the_current_token_and_no_answer_shows_it(
    scripted: type[ScriptedServer], key: SecretStr
) -> None:
    """The key itself stays here; a renewed token is removed from answers like the one before."""
    async with scripted(echo).running() as server:
        service = WithTokens(server.endpoint, "first-token-0123", "first-token-0123", "second-token-4567")
        async with fetcher(service, key) as opened:
            bodies = [(await opened.fetch(POST))[0].body for _ in range(3)]
    sent = [request.partition(b"X-Key: Key ")[2].partition(b"\r\n")[0] for request in server.requests]
    assert sent == [b"first-token-0123", b"first-token-0123", b"second-token-4567"]
    assert [b"first-token" in body for body in bodies] == [False, False, True]
    assert b"second-token" not in bodies[2]
    assert not any(key.get_secret_value().encode() in request for request in server.requests)


async def test_without_a_token_nothing_is_sent_and_it_is_tried_again(
    scripted: type[ScriptedServer], key: SecretStr
) -> None:
    """Where tokens come from may be out of reach for a while, which is no attempt of the row."""
    async with scripted(echo).running() as server:
        service = WithTokens(server.endpoint, *[UNREACHABLE] * 4, "first-token-0123")
        async with fetcher(service, key) as opened:
            answer, outcome = await opened.fetch(POST)
    assert isinstance(outcome, Reading)
    assert (answer.attempts, opened.counters.calls, len(server.requests)) == (1, 1, 1)


async def test_a_key_that_gets_no_token_is_refused(scripted: type[ScriptedServer], key: SecretStr) -> None:
    """Nothing is sent to the service."""
    async with scripted(echo).running() as server, fetcher(WithTokens(server.endpoint, REFUSED), key) as opened:
        with pytest.raises(KeyRefused, match="the account is not known"):
            await opened.fetch(POST)
    assert (opened.counters.calls, server.requests) == (0, [])
