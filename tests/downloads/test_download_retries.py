"""A download is tried again within the run, as a call is: after which statuses and faults, how often, and when."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import pytest
from aiohttp import web
from anyio.abc import SocketAttribute, SocketStream

from pipeline.config import RetryConfig
from pipeline.downloads.downloader import Downloader
from pipeline.errors import SourceError
from tests.clocks import leap
from tests.downloads.sites import PICTURE, Handler, Site, failure, fetch, page, rules
from tests.waiting import until

PATIENT = RetryConfig(attempts=3, first_wait=0.001, max_wait=0.002)


def then(first: Handler, second: Handler) -> Handler:
    """Answer the first request in one way, all others in another."""
    handlers = [first]

    async def handler(request: web.Request) -> web.StreamResponse:
        return await (handlers.pop() if handlers else second)(request)

    return handler


@pytest.mark.parametrize("status", [408, 409, 423, 424, 425, 429, 499, 500, 502, 503, 504, 520, 599])
async def test_a_status_that_may_pass_is_tried_again(site: Site, status: int) -> None:
    """The picture comes with the second attempt."""
    site.pages["/a"] = then(page(b"busy", status), page())
    assert await fetch(site.url("/a"), PATIENT) == PICTURE
    assert len(site.requests) == 2


@pytest.mark.parametrize("status", [204, 206, 400, 401, 403, 404, 406, 410, 418, 451, 501, 505])
async def test_a_status_that_will_not_pass_is_not(site: Site, status: int) -> None:
    """One request, and a failure for good."""
    site.pages["/a"] = then(page(b"", status), page())
    assert not (await failure(site.url("/a"), PATIENT)).retryable
    assert len(site.requests) == 1


@pytest.mark.parametrize("status", [200, 203])
async def test_an_answer_is_200_or_203(site: Site, status: int) -> None:
    """A proxy that has changed what it passes on says 203."""
    site.pages["/a"] = page(status=status)
    assert await fetch(site.url("/a")) == PICTURE


async def test_attempts_are_bounded(site: Site) -> None:
    """A server that always fails is sent as many requests as retry.attempts says; the next run tries again."""
    site.pages["/a"] = page(b"", 500)
    error = await failure(site.url("/a"), PATIENT)
    assert (error.code, error.retryable, len(site.requests)) == ("http-500", True, 3)


async def test_a_host_that_fails_is_not_sent_ever_more(site: Site) -> None:
    """Over many pictures, attempts beyond the first ones are a tenth of the requests."""
    site.pages = {f"/{number}": page(b"", 500) for number in range(100)}
    async with Downloader(rules(PATIENT, per_host=1)) as downloader, anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(_fails, downloader, site.url(f"/{number}"))
    assert len(site.requests) <= 100 + 20 + 13


async def _fails(downloader: Downloader, url: str) -> None:
    with pytest.raises(SourceError):
        async with downloader.picture(url):
            pass


@dataclass(slots=True, kw_only=True)
class RawServer:
    """A server by the byte: the number of requests on each connection, and how often it has sent stray bytes."""

    url: str = ""
    requests: list[int] = field(default_factory=list)
    strays: int = 0


@asynccontextmanager
async def raw_server(*answers: bytes, stray: bytes = b"") -> AsyncIterator[RawServer]:
    """Run a server that sends one of these to each request, the last one ever again.

    It sends `stray` bytes on a connection that is idle, and closes one after what is not a whole response.
    """
    server = RawServer()
    left = list(answers)

    async def serve(stream: SocketStream) -> None:
        server.requests.append(0)
        async with stream:
            while True:
                await stream.receive()
                server.requests[-1] += 1
                answer = left.pop(0) if len(left) > 1 else left[0]
                await stream.send(answer)
                if PICTURE not in answer:
                    return
                if stray:
                    await anyio.wait_all_tasks_blocked()  # the answer has been read
                    await stream.send(stray)
                    server.strays += 1

    async def serve_quietly(stream: SocketStream) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            await serve(stream)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve_quietly)
        server.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/a"
        yield server
        group.cancel_scope.cancel()


def response(body: bytes, *, length: int | None = None) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (length or len(body), body)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"", id="closed without a word"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="cut off in the headers"),
        pytest.param(response(PICTURE[:50], length=len(PICTURE)), id="cut off in the body"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="not HTTP"),
    ],
)
async def test_a_fault_of_the_connection_is_tried_again(first: bytes) -> None:
    """Whatever came of the first attempt, the second one brings the picture."""
    async with raw_server(first, response(PICTURE)) as server:
        assert await fetch(server.url, PATIENT) == PICTURE
    assert sum(server.requests) == 2


@pytest.mark.parametrize("glued", [True, False], ids=["at once", "while the connection is idle"])
async def test_a_second_answer_on_a_connection_belongs_to_nobody(*, glued: bool) -> None:
    """What a server sends without a request is not taken for the next picture."""
    other = response(b"\xff\xd8\xff" + b"another picture")
    first, stray = (response(PICTURE) + other, b"") if glued else (response(PICTURE), other)
    async with raw_server(first, stray=stray) as server, Downloader(rules()) as downloader:
        for number in range(1, 6):
            async with downloader.picture(server.url) as data:
                assert data == PICTURE
            await until(lambda number=number: glued or server.strays == number, "the stray bytes are sent")  # type: ignore[misc] # mypy infers no lambda with a default
    assert server.requests == [1] * 5


WAITS: Mapping[str, Callable[[datetime], tuple[str, str]]] = {
    "seconds": lambda _: ("Retry-After", "60"),
    "minutes": lambda _: ("Retry-After", "1m0s"),
    "milliseconds": lambda _: ("retry-after-ms", "60000"),
    "milliseconds of Azure": lambda _: ("x-ms-retry-after-ms", "60000"),
    "reset in seconds": lambda _: ("RateLimit-Reset", "60"),
    "Unix time": lambda until: ("x-ratelimit-reset", str(int(until.timestamp()))),
    "HTTP date": lambda until: ("Retry-After", format_datetime(until, usegmt=True)),
    "ISO date": lambda until: ("Retry-After", until.isoformat()),
}


@pytest.mark.parametrize("form", WAITS)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_wait_in_any_form_holds_for_everyone(site: Site, status: int, form: str) -> None:
    """A busy host is left alone as long as it asks for, by the other rows too; then all of them come."""
    name, value = WAITS[form](datetime.now(UTC) + timedelta(seconds=100))
    site.pages["/a"] = then(page(b"", status, **{name: value}), page())
    site.pages["/b"] = page()
    got: list[bytes] = []

    async def get(path: str) -> None:
        async with downloader.picture(site.url(path)) as data:
            got.append(data)

    async with Downloader(rules(PATIENT)) as downloader, anyio.create_task_group() as group:
        group.start_soon(get, "/a")
        await until(lambda: site.requests, "the first request has come")
        await until(lambda: downloader._hosts._hosts[site.name].times_busy, "the wait has been read")
        group.start_soon(get, "/b")
        leap(30)
        await anyio.wait_all_tasks_blocked()
        assert [request.path for request in site.requests] == ["/a"]
        leap(90)
    assert got == [PICTURE, PICTURE]


@pytest.mark.parametrize(("status", "code"), [(429, "http-429"), (503, "http-503")])
async def test_a_wait_that_is_too_long_for_a_row_is_left_to_the_next_run(site: Site, status: int, code: str) -> None:
    """A host that asks for an hour is sent nothing more in it; its rows fail at once, and may be tried again."""
    site.pages["/a"] = page(b"", status, Retry_After="3600")
    async with Downloader(rules(PATIENT)) as downloader:
        for _ in range(3):
            with pytest.raises(SourceError, match=r"asks for a wait of 3,600 s") as caught:
                async with downloader.picture(site.url("/a")):
                    pass
            assert (caught.value.code, caught.value.retryable) == (code, True)
    assert len(site.requests) == 1


async def test_nonsense_is_no_wait(site: Site) -> None:
    """A wait of three thousand years is a mistake: the row is tried again after a wait of ours."""
    site.pages["/a"] = then(page(b"", 429, Retry_After="99999999999"), page())
    assert await fetch(site.url("/a"), PATIENT) == PICTURE


async def test_a_busy_host_costs_no_attempts(site: Site) -> None:
    """A row that is told to come later ten times has its picture in the end, though it has three attempts."""
    answers = [page(b"", 429, retry_after_ms="1")] * 10

    async def handler(request: web.Request) -> web.StreamResponse:
        return await (answers.pop() if answers else page())(request)

    site.pages["/a"] = handler
    assert await fetch(site.url("/a"), PATIENT) == PICTURE
    assert len(site.requests) == 11


async def test_a_picture_that_alone_is_refused_is_not_the_host_s_trouble(site: Site) -> None:
    """While others are sent their pictures, a row that is told to come later uses up its attempts."""
    site.pages["/a"], site.pages["/b"] = page(b"", 429), page()
    async with Downloader(rules(PATIENT)) as downloader, anyio.create_task_group() as group:

        async def get_others() -> None:
            while True:
                async with downloader.picture(site.url("/b")):
                    pass

        group.start_soon(get_others)
        await _fails(downloader, site.url("/a"))
        group.cancel_scope.cancel()


async def test_any_picture_may_be_sent(site: Site) -> None:
    """A server that checks Accept sends what it has; one that can choose has no reason to send WebP or AVIF."""

    async def strict(request: web.Request) -> web.Response:
        accepted = request.headers["Accept"]
        assert "webp" not in accepted
        assert "avif" not in accepted
        return web.Response(body=PICTURE) if "*/*" in accepted else web.Response(status=406)

    site.pages["/a"] = strict
    assert await fetch(site.url("/a")) == PICTURE
