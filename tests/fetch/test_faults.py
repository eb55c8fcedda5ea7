"""What a network can do to a request, over real sockets: every fault is classified, in bounded time."""

from __future__ import annotations

import gzip
import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp.connector
import anyio
import pytest
import trustme
from anyio.abc import SocketStream
from anyio.streams.tls import TLSListener
from pydantic import SecretStr

from pipeline.errors import Misconfigured, Unreachable
from pipeline.fetch import transport
from pipeline.fetch.fetcher import Fetcher
from pipeline.fetch.meter import QuotaMeter
from pipeline.fetch.pacing.pacer import IntakeClosed, ProcessPacer
from pipeline.fetch.policy import FetchPolicy, RateLimit, RetryPolicy
from pipeline.fetch.quota import Quota, QuotaLimits
from pipeline.records import Problem, Reading, Request
from tests.clocks import leap
from tests.waiting import HANG_SECONDS, until

if TYPE_CHECKING:
    from tests.fetch.conftest import Fetching, ScriptedServer, Small

Step = Callable[[SocketStream], Awaitable[None]]
TIMEOUT = 20.0  # for one exchange on this loop; the steps that outlast it put the clock forward
POST = Request(method="POST", target="/ask?q=1", form="bytes", body=b"picture" * 1000)
GOOD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def say(*parts: bytes) -> Step:
    """Send the parts one by one; the client, on the same loop, has read each before the next."""

    async def step(stream: SocketStream) -> None:
        for part in parts:
            await stream.send(part)
            await anyio.sleep(0.01)

    return step


def drip(*parts: bytes) -> Step:
    """Send three parts, each well within the time limit, all together beyond it; then say nothing more."""

    async def step(stream: SocketStream) -> None:
        for part in parts[:3]:
            await say(part)(stream)
            leap(0.4 * TIMEOUT)
        await anyio.sleep_forever()

    return step


def then_close(*parts: bytes) -> Step:
    """Send the parts and close the connection."""

    async def step(stream: SocketStream) -> None:
        await say(*parts)(stream)
        await stream.aclose()

    return step


def then_reset(*parts: bytes) -> Step:
    """Send the parts and reset the connection."""

    async def step(stream: SocketStream) -> None:
        await say(*parts)(stream)
        raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()

    return step


async def half_close(stream: SocketStream) -> None:
    """Say nothing more, but go on listening."""
    await stream.send_eof()
    await anyio.sleep_forever()


async def never(_: SocketStream) -> None:
    """Neither answer nor close, until the client has no time left."""
    leap(1.1 * TIMEOUT)
    await anyio.sleep_forever()


def head(length: int, *extra: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % length, *extra, b"", b""])


BOMB = gzip.compress(bytes(6_000_000))
FAULTS: dict[str, tuple[Step, str]] = {
    "reset before the answer": (then_reset(), "reset"),
    "closed before the answer": (then_close(), "reset"),
    "half-closed": (half_close, "reset"),
    "reset in the head": (then_reset(b"HTTP/1.1 200 OK\r\nContent-"), "reset"),
    "reset in the body": (then_reset(head(1000), b"{"), "truncated-body"),
    "closed in the body": (then_close(head(1000), b"{"), "truncated-body"),
    "closed in a chunk": (then_close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"), "truncated-body"),
    "no answer": (never, "timed-out"),
    "slow head": (drip(*[bytes([byte]) for byte in GOOD]), "timed-out"),
    "slow body": (drip(head(1000), *[b" "] * 1000), "timed-out"),
    "garbage": (say(b"\x00\xff\xfe what is this?\r\n\r\n"), "bad-http"),
    "endless head": (say(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2 * transport.MAX_HEADER_BYTES), "bad-http"),
    "another protocol": (say(b"SSH-2.0-OpenSSH_9.2\r\n"), "bad-http"),
    "not gzip": (say(head(2, b"Content-Encoding: gzip"), b"{}"), "bad-encoding"),
    "empty": (say(head(0)), "http-200"),
    "html": (say(head(6, b"Content-Type: text/html"), b"<html>"), "http-200"),
    "500": (say(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"), "http-500"),
}


@pytest.mark.parametrize(("step", "code"), FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_is_tried_again_and_then_classified(
    step: Step, code: str, scripted: type[ScriptedServer], fetching: Fetching
) -> None:
    """Each fault costs one attempt, the next one may succeed, and a fault that stays has a stable code."""
    async with (
        scripted(step, step, step, say(GOOD)).running() as server,
        fetching(server.endpoint, attempts=2, request_timeout=TIMEOUT) as fetcher,
    ):
        with anyio.fail_after(HANG_SECONDS):
            answer, outcome = await fetcher.fetch(POST)
            assert isinstance(outcome, Problem)
            assert (outcome.kind, outcome.code) == ("transient", code)
            assert answer.attempts == 2
            answer, outcome = await fetcher.fetch(POST)
        assert isinstance(outcome, Reading)
        assert (answer.status, answer.body, answer.attempts) == (200, b"{}", 2)
        assert len(server.requests) == fetcher.counters.calls == 4
        assert {request.partition(b"\r\n\r\n")[2] for request in server.requests} == {POST.body}


async def test_a_gzip_bomb_fails_its_row_alone(
    scripted: type[ScriptedServer], fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body beyond the cap is given up while it is read; asking again would bring it again."""
    monkeypatch.setattr(transport, "MAX_BODY", 1_000_000)
    bomb = say(head(len(BOMB), b"Content-Encoding: gzip"), BOMB)
    async with scripted(bomb, say(GOOD)).running() as server, fetching(server.endpoint) as fetcher:
        answer, outcome = await fetcher.fetch(POST)
        assert isinstance(outcome, Problem)
        assert (outcome.kind, outcome.code, outcome.http_status) == ("row", "body-too-large", 200)
        assert answer.attempts == 1
        assert isinstance((await fetcher.fetch(POST))[1], Reading)


async def test_a_body_up_to_the_cap_is_read(scripted: type[ScriptedServer], fetching: Fetching) -> None:
    """Six decoded megabytes are no bomb."""
    big = gzip.compress(b"{" + bytes(6_000_000) + b"}")
    step = say(head(len(big), b"Content-Encoding: gzip"), big)
    async with scripted(step).running() as server, fetching(server.endpoint) as fetcher:
        answer, _ = await fetcher.fetch(POST)
    assert len(answer.body) == 6_000_002


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_refused(status: int, scripted: type[ScriptedServer], fetching: Fetching) -> None:
    """The key never follows a redirect: the run stops and names the target."""
    async with scripted(say(GOOD)).running() as target:
        moved = f"HTTP/1.1 {status} Moved\r\nLocation: {target.endpoint}\r\nContent-Length: 0\r\n\r\n"
        async with scripted(say(moved.encode())).running() as server, fetching(server.endpoint) as fetcher:
            with pytest.raises(Misconfigured, match=r"redirects to http://127\.0\.0\.1.*provider\.endpoint"):
                await fetcher.fetch(POST)
        assert target.requests == []


@pytest.mark.parametrize("listens", [False, True], ids=["nobody listens", "no TLS"])
async def test_a_service_that_cant_be_reached_stops_the_run(
    listens: bool, scripted: type[ScriptedServer], small: type[Small], key: SecretStr, tmp_path: Path
) -> None:
    """Nobody there: soon the run says so, no row has failed, and nothing is charged for what never left."""
    limits, patient = RateLimit(qps=0), RetryPolicy(first_wait=0.01, max_wait=0.05)
    hasty = replace(patient, request_timeout=0.2, row_timeout=1.0)
    with closing(Quota(tmp_path / "calls.db", "a", QuotaLimits(per_run=1))) as quota, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with scripted(say(GOOD)).running() as server:
            place = (
                server.endpoint.replace("http:", "https:") if listens else f"http://localhost:{taken.getsockname()[1]}"
            )
            async with metered(small(place), key, limits, hasty, quota) as fetcher:
                with (
                    anyio.fail_after(HANG_SECONDS),
                    pytest.raises(Unreachable, match="has not been reached") as stopped,
                ):
                    await fetcher.fetch(POST)
                assert "no answer from" in fetcher.trouble
                with pytest.raises(IntakeClosed):
                    await fetcher.fetch(POST)
            assert (quota.calls, quota.used(), fetcher.counters.calls) == (0, (0, 0), 0)
            async with metered(small(server.endpoint), key, limits, patient, quota) as fetcher:
                assert isinstance((await fetcher.fetch(POST))[1], Reading)
                assert fetcher.trouble == ""
        assert (quota.calls, quota.used()) == (1, (1, 1))
    assert stopped.value.exit_code == 3


def metered(provider: Small, key: SecretStr, limits: RateLimit, retry: RetryPolicy, quota: Quota) -> Fetcher:
    """Return a Fetcher that charges each call to a quota."""
    policy = FetchPolicy(rate=limits, retry=retry)
    return Fetcher(provider, key, policy, pacer=ProcessPacer(limits), meter=QuotaMeter(quota))


async def test_a_service_that_comes_back_costs_no_row_an_attempt(
    scripted: type[ScriptedServer], fetching: Fetching
) -> None:
    """Refused connections are waited out, however few attempts a row has."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    server = scripted(say(GOOD))
    async with fetching(f"http://127.0.0.1:{port}/v1", attempts=1) as fetcher, anyio.create_task_group() as tasks:

        async def appear() -> None:
            await until(lambda: fetcher.counters.faults > 1, "the service was missed")
            await tasks.start(server.listen, port)

        tasks.start_soon(appear)
        answer, outcome = await fetcher.fetch(POST)
        assert isinstance(outcome, Reading)
        assert (answer.attempts, fetcher.counters.calls, fetcher.trouble) == (1, 1, "")
        tasks.cancel_scope.cancel()


async def test_a_dropped_idle_connection_is_not_sent_over_again_in_secret(
    scripted: type[ScriptedServer], fetching: Fetching
) -> None:
    """A GET whose kept connection has died is an attempt of its own, with its own permit and charge."""
    get = Request(method="GET", target="/ask", form="token")
    async with (
        scripted(say(GOOD), then_close(), say(GOOD)).running() as server,
        fetching(server.endpoint) as fetcher,
    ):
        await fetcher.fetch(get)
        answer, outcome = await fetcher.fetch(get)
        assert isinstance(outcome, Reading)
        assert answer.attempts == 2
        assert len(server.requests) == fetcher.counters.calls == 3


@asynccontextmanager
async def tls_server(authority: trustme.CA, name: str) -> AsyncIterator[str]:
    """Serve the good answer over TLS, with a certificate for `name`; yield the endpoint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)

    async def answer(stream: anyio.abc.ByteStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(GOOD)

    plain = await anyio.create_tcp_listener(local_host="127.0.0.1")
    listener = TLSListener(plain, context, standard_compatible=False)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        yield f"https://localhost:{plain.extra(anyio.abc.SocketAttribute.local_port)}"
        tasks.cancel_scope.cancel()


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """Return an authority that clients trust during the test, as if it stood in the system's store."""
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", context)
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    return authority


@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_a_wrong_certificate_stops_the_run(wrong: str, trusted: trustme.CA, fetching: Fetching) -> None:
    """No key is sent to a server that can't prove who it is, and no other row would fare better."""
    authority = trusted if wrong == "name" else trustme.CA()
    async with tls_server(authority, "localhost" if wrong == "authority" else "elsewhere.example") as endpoint:
        async with fetching(endpoint) as fetcher:
            with pytest.raises(Misconfigured, match="certificate") as stopped:
                await fetcher.fetch(POST)
        assert stopped.value.__cause__ is stopped.value.__context__ is None
        assert fetcher.counters.calls == 0


async def test_a_right_certificate_is_accepted(trusted: trustme.CA, fetching: Fetching) -> None:
    """With a certificate of a trusted authority for the right name the request goes through."""
    async with tls_server(trusted, "localhost") as endpoint, fetching(endpoint) as fetcher:
        assert isinstance((await fetcher.fetch(POST))[1], Reading)


@pytest.mark.parametrize(("step", "code"), FAULTS.values(), ids=FAULTS.keys())
async def test_no_fault_shows_the_key(
    step: Step,
    code: str,
    scripted: type[ScriptedServer],
    fetching: Fetching,
    key: object,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither what comes back nor what is logged at the finest level holds the key."""
    caplog.set_level(logging.DEBUG)
    async with (
        scripted(step).running() as server,
        fetching(server.endpoint, attempts=1, request_timeout=TIMEOUT) as fetcher,
    ):
        answer, outcome = await fetcher.fetch(POST)
        shown = f"{answer!r} {outcome!r} {fetcher!r} {vars(fetcher)!r} {caplog.text}"
    secret = key.get_secret_value()  # type: ignore[attr-defined]  # a SecretStr
    assert secret.encode() in server.requests[0]
    assert secret not in shown
