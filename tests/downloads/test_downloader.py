"""Downloads from real servers on loopback: what is refused, and the code of each failure."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_network

import anyio
import pytest
from aiohttp import web
from aiohttp.abc import ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from pipeline.downloads.addresses import AddressRefused, AddressRules, CheckedResolver, is_public
from pipeline.downloads.downloader import Downloader
from tests.downloads.sites import PICTURE, Site, failure, fetch, page, rules


async def test_picture_is_fetched_whatever_its_content_type_says(site: Site) -> None:
    """A picture that is served as text is a picture."""
    site.pages["/a"] = page(content_type="text/plain")
    assert await fetch(site.url("/a")) == PICTURE


async def test_request_carries_no_credentials_and_keeps_no_cookies(site: Site) -> None:
    """A picture's server gets no key and no credentials, and its cookies are not kept."""
    site.pages["/a"] = page(Set_Cookie="session=1; Path=/")
    async with Downloader(rules()) as downloader:
        for _ in range(2):
            async with downloader.picture(site.url("/a")):
                pass
    for request in site.requests:
        assert not {"Cookie", "Authorization", "Ocp-Apim-Subscription-Key"} & set(request.headers)


async def test_proxy_of_the_environment_is_not_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would connect to addresses that were never checked."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    site.pages["/a"] = page()
    assert await fetch(site.url("/a")) == PICTURE


@pytest.mark.parametrize("path", ["/a%2Fb/c%20d.png?sig=a%2Bb%3D&x=1", "/plain?e=%E4%B8%AD"])
async def test_signed_url_arrives_verbatim(site: Site, path: str) -> None:
    """The escapes of a signed URL are not rewritten, which would invalidate it."""
    await failure(site.url(path))
    assert site.requests[0].raw_path == path


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"<html><body>Please log in</body></html>", "not-a-picture", id="login page"),
        pytest.param(b"<svg/>", "unsupported-format", id="SVG"),
        pytest.param(b"", "empty", id="nothing"),
        pytest.param(PICTURE + b"\0" * 10_000, "too-large", id="too large"),
    ],
)
async def test_content_is_checked(site: Site, body: bytes, code: str) -> None:
    """A web page, an unknown format, an empty body and too large a body fail with codes, despite the Content-Type."""
    site.pages["/a"] = page(body, Content_Type="image/png")
    assert (await failure(site.url("/a"))).code == code


async def test_endless_body_is_cut_off_at_the_limit(site: Site) -> None:
    """A body without a length that never ends is read only up to the limit."""
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)
            sent += 65536

    site.pages["/a"] = endless
    assert (await failure(site.url("/a"), max_file_bytes=200_000)).code == "too-large"
    assert sent < 50_000_000


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (404, "not-found", False),
        (410, "not-found", False),
        (403, "forbidden", False),
        (401, "forbidden", False),
        (429, "http-429", True),
        (500, "http-500", True),
        (503, "http-503", True),
        (418, "http-418", False),
        (204, "http-204", False),
    ],
)
async def test_status_becomes_a_code(site: Site, status: int, code: str, *, retryable: bool) -> None:
    """Each status has a stable code, and only a failure that may pass is retryable."""
    site.pages["/a"] = page(b"", status)
    error = await failure(site.url("/a"))
    assert (error.code, error.retryable) == (code, retryable)


async def test_silent_server_times_out_as_retryable(site: Site) -> None:
    """A server that accepts a connection but never responds is given up, and the row may be tried again."""
    released = anyio.Event()

    async def silent(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    site.pages["/a"] = silent
    error = await failure(site.url("/a"), download_timeout=0.05)
    released.set()
    assert (error.code, error.retryable) == ("timeout", True)


async def test_broken_and_unreachable_are_retryable(site: Site, free_port: int) -> None:
    """A connection that breaks, and a port that nothing listens on, are failures that may pass."""

    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "5000"})
        await response.prepare(request)
        await response.write(PICTURE[:50])
        assert request.transport is not None
        request.transport.abort()
        return response

    site.pages["/a"] = broken
    error = await failure(site.url("/a"))
    assert (error.code, error.retryable) == ("broken-download", True)
    error = await failure(f"http://127.0.0.1:{free_port}/a")
    assert (error.code, error.retryable) == ("unreachable", True)


@pytest.mark.parametrize("hops", [1, 5])
async def test_up_to_five_redirects_are_followed(site: Site, hops: int) -> None:
    """Up to five relative and absolute redirects are followed."""
    for hop in range(hops):
        target = f"/{hop + 1}" if hop % 2 else site.url(f"/{hop + 1}")
        site.pages[f"/{hop}"] = page(b"", 302, Location=target)
    site.pages[f"/{hops}"] = page()
    assert await fetch(site.url("/0")) == PICTURE


async def test_sixth_redirect_ends_it(site: Site) -> None:
    """A loop of redirects ends after the fifth."""
    site.pages["/a"] = page(b"", 301, Location="/a")
    assert (await failure(site.url("/a"))).code == "too-many-redirects"
    assert len(site.requests) == 6


@pytest.mark.parametrize(
    "location",
    ["ftp://127.0.0.1/a", "file:///etc/passwd", "http://user:secret@127.0.0.1/a", "http://[::1", "data:,x"],
)
async def test_redirect_out_of_the_web_is_refused(site: Site, location: str) -> None:
    """A redirect is followed only to an http(s) URL without credentials."""
    site.pages["/a"] = page(b"", 302, Location=location)
    assert (await failure(site.url("/a"))).code == "refused-redirect"


@pytest.mark.parametrize(
    "url",
    ["ftp://host/a", "file:///etc/passwd", "http://", "http://user:secret@host/a", "//host/a", "http://[::1", ""],
)
async def test_invalid_url_is_refused(url: str) -> None:
    """Only http and https URLs without credentials are accepted, and the message has no secrets of the URL."""
    error = await failure(url)
    assert error.code == "bad-url"
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/a",
        "http://localhost:{port}/a",
        "http://[::1]:{port}/a",
        "http://[::ffff:127.0.0.1]:{port}/a",
        "http://[64:ff9b::7f00:1]:{port}/a",
        "http://0.0.0.0:{port}/a",
        "http://10.0.0.1:{port}/a",
        "http://169.254.169.254/latest/meta-data",
    ],
)
async def test_private_address_is_never_connected_to(site: Site, url: str) -> None:
    """An address of this machine or network is refused in any notation, and the server gets no request."""
    assert site.server is not None
    error = await failure(url.format(port=site.server.port), allow_private=False)
    assert (error.code, error.retryable) == ("refused-address", False)
    assert site.requests == []


@pytest.mark.parametrize("number", ["2130706433", "0x7f.1", "127.1"])
async def test_numbers_that_mean_an_address_are_refused(site: Site, number: str) -> None:
    """Numeric notations of 127.0.0.1 are refused too."""
    assert site.server is not None
    error = await failure(f"http://{number}:{site.server.port}/a", allow_private=False)
    assert error.code in {"bad-url", "refused-address", "unreachable"}
    assert site.requests == []


async def test_rebinding_name_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that resolves first to a public and then to a private address is never connected to."""
    addresses = iter(["93.184.216.34", "127.0.0.1"])

    async def getaddrinfo(
        host: object, port: int, **_: object
    ) -> list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]]:
        address = next(addresses, "127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    assert (await CheckedResolver(AddressRules()).resolve("rebind.example", 80))[0]["host"] == "93.184.216.34"
    with pytest.raises(AddressRefused):
        await CheckedResolver(AddressRules()).resolve("rebind.example", 80)
    assert site.server is not None
    error = await failure(f"http://rebind.example:{site.server.port}/a", allow_private=False)
    assert error.code == "refused-address"
    assert site.requests == []


async def test_redirect_to_a_private_address_is_refused(site: Site) -> None:
    """Every connection is checked, so a public page can't redirect into the private network."""
    site.pages["/a"] = page(b"", 302, Location="http://10.0.0.1/inside")
    assert site.server is not None
    port = site.server.port
    error = await failure(f"http://127.0.0.1:{port}/a", allow_private=False, allow_addresses=("127.0.0.1",))
    assert error.code == "refused-address"
    assert [request.path for request in site.requests] == ["/a"]


async def test_private_addresses_are_left_out_of_a_mixed_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with a public and a private address is connected to by the public one only."""

    async def both(*_: object) -> list[ResolveResult]:
        return [
            ResolveResult(hostname="h", host=host, port=80, family=socket.AF_INET, proto=0, flags=0)
            for host in ("192.168.0.1", "1.1.1.1")
        ]

    monkeypatch.setattr("aiohttp.resolver.ThreadedResolver.resolve", both)
    assert [result["host"] for result in await CheckedResolver(AddressRules()).resolve("h")] == ["1.1.1.1"]


METADATA = ["169.254.169.254", "169.254.170.2", "169.254.0.1", "168.63.129.16", "192.0.0.192", "100.100.100.200",
            "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"]  # fmt: skip


@pytest.mark.parametrize("address", METADATA)
def test_what_tells_a_cloud_s_keys_is_loaded_only_if_it_is_named(address: str) -> None:
    """Neither the default nor allow_private opens link-local and metadata addresses, in any wrapping; a name does."""
    networks = ("169.254.0.0/16", "fe80::/10", "168.63.129.16", "192.0.0.192", "100.100.100.200", "fd00::/8")
    named = tuple(map(ip_network, networks))
    for allow_private in (False, True):
        with pytest.raises(AddressRefused, match=r"only prepare\.allow_addresses"):
            AddressRules(allow_private=allow_private).check(address)
        AddressRules(allow_private=allow_private, named=named).check(address)


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "192.168.1.1", "::1", "fd12::1", "::ffff:10.0.0.1"])
def test_private_addresses_are_allowed_together_or_by_name(address: str) -> None:
    """A named network is allowed without opening all the others."""
    named = (ip_network("10.0.0.0/8"), ip_network("127.0.0.1"), ip_network("192.168.0.0/16"), ip_network("::1"))
    for rules_that_allow in (AddressRules(allow_private=True), AddressRules(named=(*named, ip_network("fd12::/16")))):
        rules_that_allow.check(address)
    with pytest.raises(AddressRefused, match=r"prepare\.allow_private would allow it"):
        AddressRules(named=(ip_network("172.16.0.0/12"),)).check(address)


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest/meta-data", "http://[fe80::1]/a", "http://[fd00:ec2::254]/"]
)
async def test_metadata_is_never_connected_to(url: str) -> None:
    """allow_private is for machines of the user's own; the message says what would allow this address."""
    error = await failure(url, allow_private=True)
    assert (error.code, error.retryable) == ("refused-address", False)
    assert "prepare.allow_addresses" in str(error)


PRIVATE_V4 = ["0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1",
              "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"]  # fmt: skip


def wrapped(v4: str) -> list[str]:
    """Return the IPv6 addresses that lead to an IPv4 one."""
    value = int.from_bytes(socket.inet_aton(v4), "big")
    high, low = value >> 16, value & 0xFFFF
    return [f"::ffff:{v4}", f"64:ff9b::{v4}", f"64:ff9b:1::{v4}", f"2002:{high:x}:{low:x}::1", f"::{v4}"]


@pytest.mark.parametrize("address", PRIVATE_V4)
def test_private_address_stays_private_in_any_wrapping(address: str) -> None:
    """Mapped, compatible, NAT64 and 6to4 forms of a private address are private."""
    assert not is_public(address)
    assert not [form for form in wrapped(address) if is_public(form)]


@pytest.mark.parametrize("address", ["::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "fec0::1"])
def test_special_v6_address_is_not_public(address: str) -> None:
    """Loopback, link-local, unique local, multicast, site-local and documentation addresses are refused."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::1.1.1.1"])
def test_public_address_is_public(address: str) -> None:
    """Ordinary addresses are public, and so are they through NAT64."""
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_wrapping_never_makes_an_address_more_public(address: object) -> None:
    """Law: an IPv6 form is public only if the IPv4 address in it is."""
    assert is_public(str(address)) or not any(is_public(form) for form in wrapped(str(address)))
