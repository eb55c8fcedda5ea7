"""HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and REQUESTS_CA_BUNDLE hold for calls; a proxy never sees the key."""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.abc
import pytest
import trustme
from aiohttp import ClientTimeout, web
from aiohttp.test_utils import TestServer
from anyio.abc import SocketStream
from anyio.streams.tls import TLSListener, TLSStream

from pipeline.errors import ConfigError, Unreachable
from pipeline.fetch.redaction import REMOVED
from pipeline.network.environment import open_session, proxy_for, tls_context
from pipeline.records import Reading, Request
from tests.fetch.conftest import KEY, Fetching

HOST = "service.test"
POST = Request(method="POST", target="/images", form="bytes", body=b"picture")
VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def head_of(stream: SocketStream | TLSStream) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    return data


class Proxied:
    """A proxy on loopback that tunnels to a TLS service, whatever host it is asked for, and notes what it saw."""

    def __init__(self, authority: trustme.CA, *, status: str = "200 OK") -> None:
        self.seen: list[bytes] = []
        self.answered: list[bytes] = []
        self._status = status
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(HOST).configure_cert(self._tls)
        self.port = 0
        self._service_port = 0

    async def _serve(self, stream: TLSStream) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            async with stream:
                while True:
                    self.answered.append(await head_of(stream))
                    body = b'{"echo": "hunter-2-secret"}'
                    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async def _tunnel(self, stream: SocketStream) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            async with stream:
                self.seen.append(await head_of(stream))
                await stream.send(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
                if not self._status.startswith("200"):
                    return
                async with (
                    await anyio.connect_tcp("127.0.0.1", self._service_port) as far,
                    anyio.create_task_group() as tasks,
                ):
                    tasks.start_soon(self._pass_on, far, stream)
                    await self._pass_on(stream, far)
                    tasks.cancel_scope.cancel()

    async def _pass_on(self, source: SocketStream, target: SocketStream) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            async for data in source:
                if source is not target:
                    self.seen.append(data)
                await target.send(data)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxied]:
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as plain,
            await anyio.create_tcp_listener(local_host="127.0.0.1") as door,
            anyio.create_task_group() as tasks,
        ):
            self._service_port = plain.extra(anyio.abc.SocketAttribute.local_port)
            self.port = door.extra(anyio.abc.SocketAttribute.local_port)
            tasks.start_soon(TLSListener(plain, self._tls, standard_compatible=False).serve, self._serve)
            tasks.start_soon(door.serve, self._tunnel)
            yield self
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
async def test_a_call_goes_through_the_proxy_in_a_tunnel(
    variable: str, fetching: Fetching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy gets its credentials and the host's name, the service the key; an echoed password is cut out."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
    async with Proxied(authority).running() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter-2-secret@127.0.0.1:{proxy.port}")
        async with fetching(f"https://{HOST}/v1") as fetcher:
            answer, outcome = await fetcher.fetch(POST)
    assert isinstance(outcome, Reading)
    assert answer.body == b'{"echo": "%s"}' % REMOVED.encode()
    assert proxy.seen[0].startswith(b"CONNECT service.test:443 HTTP/1.1\r\n")
    assert base64.b64encode(b"user:hunter-2-secret") in proxy.seen[0]
    assert KEY.encode() in proxy.answered[0]
    assert b"hunter" not in proxy.answered[0]
    assert not any(KEY.encode() in data for data in proxy.seen)


async def test_without_its_authority_a_service_is_not_trusted(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is not sent to it."""
    async with Proxied(trustme.CA()).running() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(Exception, match="certificate"):
            async with fetching(f"https://{HOST}/v1") as fetcher:
                await fetcher.fetch(POST)
    assert proxy.answered == []


async def test_a_proxy_that_refuses_stops_the_run(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a service that can't be reached: no row fails, and the message says that it is the proxy."""
    async with Proxied(trustme.CA(), status="407 Proxy Authentication Required").running() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(Unreachable, match="proxy"):
            async with fetching(f"https://{HOST}/v1", row_timeout=0.5) as fetcher:
                await fetcher.fetch(POST)


@pytest.mark.parametrize(
    ("endpoint", "no_proxy", "is_proxied"),
    [
        ("https://api.example.com/v7.0", "", True),
        ("https://api.example.com/v7.0", "other.example", True),
        ("https://api.example.com/v7.0", "example.com", False),
        ("https://api.example.com/v7.0", "localhost, .example.com", False),
        ("https://api.example.com/v7.0", "*", False),
        ("http://127.0.0.1:8077/v7.0", "", False),
    ],
)
def test_no_proxy_and_plain_http_go_straight(
    endpoint: str, no_proxy: str, is_proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain http, which only loopback addresses have, would show the key to a proxy."""
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    monkeypatch.setenv("HTTP_PROXY", "proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(endpoint) is not None) == is_proxied


@pytest.mark.parametrize(
    "url", ["socks5://u:hunter2@p:1", "https://u:hunter2@p", "http://u:hunter2@", "http://u:hunter2@p:x"]
)
def test_a_wrong_proxy_is_named_without_its_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable."""
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(ConfigError, match="HTTPS_PROXY: must be a URL") as wrong:
        proxy_for("https://api.example.com")
    assert "hunter2" not in str(wrong.value)


def test_certificates_that_can_not_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every call would fail with a certificate that isn't valid."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere.pem"))
    with pytest.raises(ConfigError, match=r"SSL_CERT_FILE: .*nowhere\.pem can't be read"):
        tls_context("https://api.example.com")
    assert tls_context("http://127.0.0.1:1") is True


async def test_a_session_sends_no_login_of_the_user_s_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ~/.netrc says of a host: webhooks and accounts get what the config says, and nothing else."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    seen: list[str | None] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response()

    app = web.Application()
    app.router.add_get("/", note)
    async with TestServer(app, host="127.0.0.1") as server:
        address = str(server.make_url("/"))
        async with open_session(address, ClientTimeout(total=20)) as session, session.get(address):
            pass
    assert seen == [None]
