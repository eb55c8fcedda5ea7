"""The key is nowhere: a service may echo it at any place, in any encoding, with any status.

A server over raw sockets does so for each row; afterwards no file of the job and of the state folder holds it, and
nothing that a command prints.
"""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio
import anyio.abc
import pytest
from anyio.abc import SocketStream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import load_config, run
from tests.fetch.test_redaction import ENCODINGS, hidden
from tests.running import KEY_ENV

KEY: Final = "Zk3-recognisable/key+0123456789="
POSITIONS: Final = {
    "a name": b'{"_type": "ImageKnowledge", "tags": [{"displayName": "%s", "actions": []}]}',
    "an unknown field": b'{"_type": "ImageKnowledge", "tags": [], "%s": {"%s": ["%s"]}}',
    "an error": b'{"_type": "ErrorResponse", "errors": [{"code": "ServerError", "message": "no %s", "value": "%s"}]}',
    "another error": b'{"error": {"code": "%s", "message": "Invalid: %s"}}',
    "HTML": b"<html><body>Access denied for %s</body></html>",
    "Location": b"",
    "BingAPIs-TraceId": b"{}",
    "X-MSEdge-ClientID": b"{}",
    "Retry-After": b"",
    "Content-Type": b"{}",
}
STATUSES: Final = (200, 301, 400, 401, 403, 404, 418, 429, 500)


def response(position: str, echo: bytes, status: int, *, is_zipped: bool) -> bytes:
    body = POSITIONS[position].replace(b"%s", echo)
    headers = b"" if "-" not in position and position != "Location" else b"%s: %s\r\n" % (position.encode(), echo)
    if is_zipped:
        body, headers = gzip.compress(body), headers + b"Content-Encoding: gzip\r\n"
    return b"HTTP/1.1 %d Odd\r\n%sContent-Length: %d\r\n\r\n%s" % (status, headers, len(body), body)


@asynccontextmanager
async def serving(answer: bytes) -> AsyncIterator[str]:
    """Serve on loopback, in pieces of a few bytes; yield the endpoint."""

    async def serve(stream: SocketStream) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            async with stream:
                while True:
                    data = b""
                    while b"--\r\n" not in data:
                        data += await stream.receive()
                    await stream.send(answer[:-9])
                    await stream.send(answer[-9:])

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}/v7.0"
        tasks.cancel_scope.cancel()


async def everything_left(folder: Path, answer: bytes) -> bytes:
    """Run a job of two rows; return all that is left of it on disk, and its last line."""
    (folder / "rows.csv").write_text("id,image\na,token:a\nb,token:b\n")
    async with serving(answer) as endpoint:
        (folder / "job.toml").write_text(
            f'[manifest]\npath = "{folder}/rows.csv"\n[provider]\nname = "bing"\nendpoint = "{endpoint}"\n'
            f'key_env = "{KEY_ENV}"\n[limits]\nqps = 0\n[retry]\nattempts = 1\nfirst_wait = "1ms"\nmax_wait = "1ms"\n'
            f'row_timeout = "1s"\n[output]\ndir = "{folder}/out"\nmax_failed = "100%"\n'
        )
        report = await run(load_config(folder / "job.toml"))
    assert report.traffic.sends
    files = [path for place in ("out", "state") for path in (folder / place).rglob("*") if path.is_file()]
    assert {"state.db", "run.json", "calls.db"} <= {path.name for path in files}
    return b"\n".join([report.summary().encode(), *(path.name.encode() + b" " + path.read_bytes() for path in files)])


# capfd starts again each time it is read.
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    position=st.sampled_from(sorted(POSITIONS)),
    encoding=st.sampled_from([name for name in ENCODINGS if name != "UTF-16"]),
    status=st.sampled_from(STATUSES),
    is_zipped=st.booleans(),
)
async def test_an_echoed_key_reaches_no_file_and_no_message(
    position: str, encoding: str, status: int, is_zipped: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """Position x encoding x status, compressed or not, over real sockets."""
    answer = response(position, ENCODINGS[encoding](KEY), status, is_zipped=is_zipped)
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_ENV, KEY)
        patch.setenv("XDG_STATE_HOME", f"{name}/state")
        left = await everything_left(Path(name), answer)
    assert hidden(KEY, left)
    assert capfd.readouterr() == ("", "")
