"""The headers of downloads: the user's own on every request, secrets to their own host alone."""

from __future__ import annotations

import pytest

from tests.downloads.sites import Site, failure, fetch, page, running_site

SECRET = "recognisable-secret-0123456789"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDN_AUTHORIZATION", SECRET)


def header(host: str) -> dict[str, str]:
    return {"name": "Authorization", "value_env": "CDN_AUTHORIZATION", "host": host}


async def test_user_agent_and_headers_are_those_of_the_job(site: Site) -> None:
    """They replace ours of the same name."""
    site.pages["/a"] = page()
    headers = ({"name": "Referer", "value": "https://shop.example/"}, {"name": "Accept", "value": "image/png"})
    await fetch(site.url("/a"), user_agent="shop/1.0 (+mailto:it@shop.example)", headers=headers)
    (request,) = site.requests
    assert request.headers["User-Agent"] == "shop/1.0 (+mailto:it@shop.example)"
    assert request.headers["Referer"] == "https://shop.example/"
    assert request.headers.getall("Accept") == ["image/png"]


@pytest.mark.parametrize("with_port", [True, False])
async def test_a_secret_goes_to_its_host(site: Site, *, with_port: bool) -> None:
    """The host is named with or without its port."""
    site.pages["/a"] = page()
    await fetch(site.url("/a"), headers=(header(site.name if with_port else "127.0.0.1"),))
    assert site.requests[0].headers["Authorization"] == SECRET


async def test_a_secret_goes_to_no_other_host(site: Site) -> None:
    """Neither to another host, nor to one that a redirect of its host leads to."""
    async with running_site() as other:
        other.pages["/b"] = page()
        site.pages["/a"] = page(b"", 302, Location=other.url("/b"))
        await fetch(site.url("/a"), headers=(header(site.name),))
        await fetch(other.url("/b"), headers=(header(site.name),))
        assert site.requests[0].headers["Authorization"] == SECRET
        assert ["Authorization" in request.headers for request in other.requests] == [False, False]


async def test_a_secret_goes_over_no_open_network(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain http shows it to everyone on the way, except to this machine."""
    monkeypatch.setattr("pipeline.downloads.client.is_loopback", lambda _: False)
    site.pages["/a"] = page()
    await fetch(site.url("/a"), headers=(header(site.name),))
    assert "Authorization" not in site.requests[0].headers


async def test_a_secret_that_is_sent_back_is_in_no_message(site: Site) -> None:
    """Servers may put a header into a redirect, a reason or a body."""
    site.pages["/a"] = page(SECRET.encode(), 302, Location=f"ftp://{SECRET}/")
    site.pages["/b"] = page(SECRET.encode(), 418, X=SECRET)
    for path in ("/a", "/b"):
        assert SECRET not in str(await failure(site.url(path), headers=(header(site.name),)))
