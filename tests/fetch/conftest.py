"""A small provider of our own, Fetchers for it, and a server that does what a script says."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar, Protocol, Self

import aioresponses.core
import anyio
import anyio.abc
import pytest
from aiohttp import ClientResponse
from anyio.abc import SocketStream, TaskStatus
from pydantic import SecretStr

from pipeline.fetch.fetcher import Fetcher
from pipeline.fetch.pacing.pacer import ProcessPacer
from pipeline.fetch.policy import FetchPolicy, RateLimit, RetryPolicy
from pipeline.network.waits import WAIT_HEADERS, wait_of_headers
from pipeline.records import Advice, Answer, Outcome, Problem, ProblemKind, Reading, Request, Usage
from pipeline.schema import no_insights


class _Response(ClientResponse):
    """What aioresponses 0.7.9 must build since aiohttp 3.14 asks for the writer's size."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
        super().__init__(*args, **kwargs)


@pytest.fixture(autouse=True)
def _patched_aioresponses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioresponses.core, "ClientResponse", _Response)


KEY = "key-that-must-not-show-0123456789"


class Small:
    """A provider of a few lines: 200 with a JSON object is a reading, every status means one kind of problem."""

    service_id = "small"
    kept_headers = (*WAIT_HEADERS, "content-type", "x-trace")
    client_state = "X-Client"
    kinds: ClassVar[dict[int, ProblemKind]] = {
        400: "row",
        401: "refused",
        403: "quota",
        404: "misconfigured",
        429: "throttled",
    }

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def authorise(self, request: Request, key: SecretStr) -> Request:
        """Put the key into a header."""
        return replace(request, headers=(*request.headers, ("X-Key", f"Key {key.get_secret_value()}")))

    def secrets(self, key: SecretStr) -> tuple[str]:
        """Return the key."""
        return (key.get_secret_value(),)

    def advice(self, answer: Answer) -> Advice:
        """Go by the headers."""
        return Advice(wait=wait_of_headers(answer.headers, answer.asked_at))

    def estimate(self, _request: Request) -> Usage:
        """Say nothing of what a call costs."""
        return Usage()

    def usage(self, _request: Request, _answer: Answer) -> Usage:
        """Say nothing of what a call cost."""
        return Usage()

    def read(self, request: Request, answer: Answer) -> Outcome:
        """Classify by status; a 200 that is no JSON object is transient."""
        if answer.status == 200 and answer.body.startswith(b"{"):
            return Reading(insights=no_insights())
        kind = self.kinds.get(answer.status, "transient")
        return Problem(
            kind=kind, code=f"http-{answer.status}", message="the service said no", http_status=answer.status
        )


@pytest.fixture
def small() -> type[Small]:
    """Return the small provider's class."""
    return Small


@pytest.fixture
def key() -> SecretStr:
    """Return a key whose text no message may show."""
    return SecretStr(KEY)


class Fetching(Protocol):
    """Opens a Fetcher with small waits; `qps` 0 unless said."""

    def __call__(self, endpoint: str, *, limits: RateLimit = ..., **policy: float) -> Fetcher:
        """Return a Fetcher to enter."""


@pytest.fixture
def fetching() -> Fetching:
    """Return a maker of Fetchers for the small provider, with waits of milliseconds."""

    def make(endpoint: str, *, limits: RateLimit = RateLimit(qps=0), **waits: float) -> Fetcher:  # noqa: B008 - frozen
        waits = {"first_wait": 0.01, "max_wait": 0.05, "request_timeout": 20.0, "row_timeout": 600.0, **waits}
        retry = RetryPolicy(**waits)  # type: ignore[arg-type]  # attempts may be given as a float
        policy = FetchPolicy(rate=limits, retry=retry)
        return Fetcher(Small(endpoint), SecretStr(KEY), policy, pacer=ProcessPacer(limits))

    return make


Step = Callable[[SocketStream], Awaitable[None]]


class ScriptedServer:
    """A service over raw sockets: reads each request whole, then does its next step (the last one for ever)."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.requests: list[bytes] = []
        self.endpoint = ""

    async def _serve(self, stream: SocketStream) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with stream:
                while request := await self._receive(stream):
                    self.requests.append(request)
                    await (self.steps.pop(0) if len(self.steps) > 1 else self.steps[0])(stream)

    async def _receive(self, stream: SocketStream) -> bytes:
        """Return one request's head and body, or nothing where the client has gone."""
        data = b""
        with suppress(anyio.EndOfStream):
            while b"\r\n\r\n" not in data:
                data += await stream.receive()
            head, _, body = data.partition(b"\r\n\r\n")
            length = int(re.search(rb"(?i)content-length: (\d+)", head)[1]) if b"ontent-" in head else 0  # type: ignore[index]  # one is there
            while len(body) < length:
                body += await stream.receive()
            return head + b"\r\n\r\n" + body
        return b""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listen on a free loopback port."""
        async with anyio.create_task_group() as tasks:
            port = await tasks.start(self.listen)
            self.endpoint = f"http://127.0.0.1:{port}/v1"
            yield self
            tasks.cancel_scope.cancel()

    async def listen(self, port: int = 0, *, task_status: TaskStatus[int]) -> None:
        """Serve on a loopback port, a free one unless said, until cancelled."""
        async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port) as listener:
            task_status.started(listener.extra(anyio.abc.SocketAttribute.local_port))
            await listener.serve(self._serve)


@pytest.fixture
def scripted() -> type[ScriptedServer]:
    """Return the scripted server's class."""
    return ScriptedServer
