"""One row costs one row: whatever one answer is, the others are done, this night and the next.

A server over raw sockets sends anything for the row named "odd", and a good answer for every other one.
"""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import anyio.abc
import pytest
from anyio.abc import SocketStream
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import load_config, run
from pipeline.config import Config
from pipeline.report.run_json import Report
from tests.clocks import leap
from tests.running import KEY, KEY_ENV, lines_of
from tests.waiting import HANG_SECONDS

ROWS = 20
GOOD = b'{"_type": "ImageKnowledge", "tags": [{"displayName": "x", "actions": []}]}'


def http(body: bytes = GOOD, status: str = "200 OK", headers: bytes = b"", length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status.encode(), headers, length, body)


@dataclass(slots=True)
class Server:
    """Answers each request as it is read; `answers` counts them, and `is_reading` while one is on its way."""

    odd: bytes
    answers: int = 0
    is_reading: bool = False

    async def serve(self, stream: SocketStream) -> None:
        """Answer the requests of one connection; the odd answer is its last one."""
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            async with stream:
                is_odd = False
                while not is_odd:
                    data = await stream.receive()
                    self.is_reading = True
                    while b"--\r\n" not in data:  # the end of the form
                        data += await stream.receive()
                    is_odd = b'"odd"' in data
                    self.answers += 1
                    self.is_reading = False
                    await stream.send(self.odd if is_odd else http())

    async def leap_while_idle(self) -> None:
        """Put the clock forward while nothing is asked: what the run waits for on purpose takes a tenth of its time."""
        while True:
            answers = self.answers
            await anyio.sleep(0.005)
            if answers == self.answers and not self.is_reading:
                leap(0.05)


@asynccontextmanager
async def serving(odd: bytes) -> AsyncIterator[str]:
    """Serve on loopback; yield the endpoint."""
    server = Server(odd)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.serve)
        tasks.start_soon(server.leap_while_idle)
        yield f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}/v7.0"
        tasks.cancel_scope.cancel()


def job(folder: Path, endpoint: str) -> Config:
    names = [f"t{number}" for number in range(ROWS - 1)]
    names.insert(ROWS // 2, "odd")
    (folder / "rows.csv").write_text("id,image\n" + "".join(f"{name},token:{name}\n" for name in names))
    (folder / "job.toml").write_text(
        f'[manifest]\npath = "{folder}/rows.csv"\n[provider]\nname = "bing"\nendpoint = "{endpoint}"\n'
        f'key_env = "{KEY_ENV}"\n[limits]\nqps = 1000\nconcurrency = 1\npacer = "process"\n'
        '[retry]\nattempts = 2\nfirst_wait = "1ms"\nmax_wait = "2ms"\nrequest_timeout = "20s"\nrow_timeout = "1s"\n'
        f'[output]\ndir = "{folder}/out"\nmax_failed = 1\n'
    )
    return load_config(folder / "job.toml")


async def two_nights(odd: bytes) -> tuple[Report, Report]:
    """Run the job twice, and check what holds after each night: every row has its line, the others a record."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setenv(KEY_ENV, KEY)
        patch.setenv("XDG_STATE_HOME", name)
        reports = []
        async with serving(odd) as endpoint:
            config = job(folder, endpoint)
            for _ in range(2):
                reports.append(await run(config))
                records = {record["id"] for record in lines_of(folder / "out" / "insights.jsonl")}
                failures = {failure["id"] for failure in lines_of(folder / "out" / "failures.jsonl")}
                assert records | failures == {*(f"t{n}" for n in range(ROWS - 1)), "odd"}
                assert failures <= {"odd"}
                assert records.isdisjoint(failures)
                assert reports[-1].exit_code == len(failures)
    return reports[0], reports[1]


BODIES = {
    "a number of 65 bits": b'{"_type": "ImageKnowledge", "tags": [], "x": 36893488147419103232}',
    "a width of 65 bits": b'{"_type": "ImageKnowledge", "image": {"imageId": "1", "width": 36893488147419103232}}',
    "an offset of 65 bits": b'{"_type": "ImageKnowledge", "tags": [{"actions": [{"actionType": "VisualSearch", '
    b'"data": {"value": [{"imageId": "1"}], "nextOffset": 36893488147419103232}}]}]}',
    "NaN": b'{"_type": "ImageKnowledge", "tags": [], "x": NaN, "y": -Infinity}',
    "a lone surrogate": b'{"_type": "ImageKnowledge", "tags": [{"displayName": "\\ud800", "actions": []}]}',
    "bytes that are not UTF-8": b'{"_type": "ImageKnowledge", "tags": [{"displayName": "\xff\xfe", "actions": []}]}',
    "a raw control character": b'{"_type": "ImageKnowledge", "tags": [{"displayName": "a\x01\nb", "actions": []}]}',
    "UTF-16": GOOD.decode().encode("utf-16"),
    "deep nesting": b'{"_type": "ImageKnowledge", "tags": ' + b"[" * 900 + b"]" * 900 + b"}",
    "very deep nesting": b"[" * 100_000,
    "a comma too many": b'{"_type": "ImageKnowledge",, "tags": []}',
    "HTML": b"<html>we are down</html>",
    "nothing": b"",
    "a list": b"[]",
    "a number": b"7",
    "a refused key": b'{"_type": "ErrorResponse", "errors": [{"code": "InvalidAuthorization", "message": "no"}]}',
    "a wrong setting": b'{"_type": "ErrorResponse", "errors": [{"code": "InvalidRequest", "parameter": "mkt"}]}',
}
STATUSES = [
    "200 OK",
    "204 No Content",
    "301 Moved",
    "401 Unauthorized",
    "403 Forbidden",
    "404 Not Found",
    "409 Conflict",
]
STATUSES += ["418 Teapot", "425 Too Early", "500 Internal Server Error", "599 Odd"]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_any_body(body: bytes) -> None:
    """Read, or kept as a failure of its row; what is kept is not paid for again."""
    first, second = await two_nights(http(body))
    assert first.traffic.sends >= ROWS
    if "refused" not in str(body) and first.exit_code == 0:
        assert second.traffic.sends == 0


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"error": {"code": "401", "message": "no"}}'], ids=["none", "HTML", "JSON"]
)
async def test_any_status(status: str, body: bytes) -> None:
    """A denial, a redirect or a wrong path after others were answered fails its row and no other."""
    await two_nights(http(body, status, b"Location: https://elsewhere.example/\r\n"))


@pytest.mark.parametrize(
    "headers",
    [
        b"X-Long: " + b"x" * 100_000 + b"\r\n",
        b"".join(b"X-%d: y\r\n" % number for number in range(500)),
        b"Content-Encoding: x-gzip\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Content-Type: text/html; charset=utf-16\r\n",
        b"Bad-\xff-Name: \xff\r\n",
        b"No colon\r\n",
    ],
    ids=["100 KB", "500 headers", "x-gzip", "gzip that is none", "charset", "bytes", "no colon"],
)
async def test_any_headers(headers: bytes) -> None:
    """Long, many, false and broken headers."""
    await two_nights(http(headers=headers))


@pytest.mark.parametrize("encoding", [b"gzip", b"x-gzip", b""], ids=["gzip", "x-gzip", "no header"])
async def test_compressed_bodies_are_read(encoding: bytes) -> None:
    """By whichever name, or none, gzip is called."""
    headers = b"Content-Encoding: %s\r\n" % encoding if encoding else b""
    first, _ = await two_nights(http(gzip.compress(GOOD), headers=headers))
    assert first.exit_code == 0


@pytest.mark.parametrize("value", [b"99999999999", b"1_000", b"-1", b"soon", b"1e400", b"Thu, 99 Foo 2026"])
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
async def test_nonsense_in_retry_after_is_backoff(status: str, value: bytes) -> None:
    """It ends no run, and nobody waits for a year."""
    first, _ = await two_nights(http(b"", status, b"Retry-After: %s\r\n" % value))
    assert first.seconds < HANG_SECONDS


async def test_an_unreadable_answer_is_not_paid_for_again() -> None:
    """It is stored; the next night reads it from there, and fails its row without a call."""
    first, second = await two_nights(http(BODIES["a comma too many"]))
    assert (first.exit_code, first.traffic.sends) == (1, ROWS)
    assert (second.exit_code, second.traffic.sends) == (1, 0)


@settings(max_examples=25)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.builds(
            http,
            st.one_of(st.binary(max_size=300), st.sampled_from(list(BODIES.values()))),
            st.integers(100, 999).map(lambda status: f"{status} Odd"),
            st.binary(max_size=40).map(lambda value: b"X-Odd: " + value.translate(None, b"\r\n") + b"\r\n"),
        ),
    )
)
async def test_anything_at_all_costs_one_row(odd: bytes) -> None:
    """The law itself: any bytes for one row of twenty; the run ends with 0 or 1, and the next one too."""
    await two_nights(odd)
