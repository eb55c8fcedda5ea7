"""Pictures that a request names by a URL which the catalogue doesn't have: loaded only if that is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from aiohttp import web
from anyio.from_thread import start_blocking_portal

from pipeline.downloads.addresses import AddressRules
from pipeline.local.serve import read_config, serve_config
from pipeline.service.http import picture_downloads
from tests.downloads.sites import Site, page, running_site

if TYPE_CHECKING:
    from tests.service.serving import FixedEngine, Served

Start = Callable[..., "Served"]
ONLY_THE_SITE = AddressRules(named=(ip_network("127.0.0.1/32"),))


@pytest.fixture
def site(picture: bytes) -> Iterator[Site]:
    """Run a site with a picture at /mug.png."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(running_site()) as running:
        running.pages["/mug.png"] = page(picture)
        yield running


@pytest.fixture
def loading(start: Start, engine: FixedEngine) -> Served:
    """Return a service that may load from the site."""
    return start(engine, fetch_from=ONLY_THE_SITE)


def look_at(served: Served, url: str) -> Any:
    return served.visual_search({"imageInfo": {"url": url}}).json


def hint(answer: Any) -> tuple[str, str]:
    """Return the category of the one hint in an answer, and its details."""
    (one,), (reason,) = answer["imageQualityHints"], answer["unavailable"]
    return one["category"], reason["reason"]


def test_a_picture_behind_a_url_is_looked_at(loading: Served, site: Site, picture: bytes) -> None:
    """Both endpoints know of it what they know of the same picture as an upload; its token names it from then on."""
    uploaded = loading.visual_search(None, picture).json
    loaded = look_at(loading, site.url("/mug.png"))
    assert loaded == uploaded
    details = loading.send("GET", f"/v7.0/images/details?imgUrl={site.url('/mug.png')}&modules=Tags").json
    assert details["imageTags"] == {"value": [{"name": "mug"}]}
    again = loading.visual_search({"imageInfo": {"imageInsightsToken": loaded["image"]["imageInsightsToken"]}})
    assert again.json["tags"] == loaded["tags"]


def test_a_url_of_the_catalogue_is_not_loaded(loading: Served, engine: FixedEngine) -> None:
    """Its picture is on the disk."""
    known = look_at(loading, "https://img.shop.example/3.jpg")
    assert known["image"]["imageInsightsToken"] == f"own_{3:040x}"


def test_nothing_is_loaded_unless_the_config_says_so(served: Served, site: Site) -> None:
    """The answer names the setting."""
    category, details = hint(look_at(served, site.url("/mug.png")))
    assert (category, "service.fetch_urls is false" in details) == ("ImageDownloadFailed", True)
    details_answer = served.send("GET", f"/v7.0/images/details?imgUrl={site.url('/mug.png')}").json
    assert hint(details_answer) == (category, details)
    assert site.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]"])
def test_private_addresses_are_refused(start: Start, engine: FixedEngine, site: Site, host: str) -> None:
    """As the config sets it up, a caller reaches nothing behind the service, in whatever notation."""
    config = serve_config(
        read_config(None, [], options={"catalogue.path": "catalogue.csv", "service.fetch_urls": True})
    )
    served = start(engine, fetch_from=config.app.fetch_from)
    url = site.url("/mug.png").replace("127.0.0.1", host)
    category, details = hint(look_at(served, url))
    assert (category, "private network" in details) == ("ImageDownloadFailed", True)
    assert site.requests == []


@pytest.mark.parametrize(
    ("location", "reason"),
    [("http://127.0.0.2:9/a", "private network"), ("file:///etc/passwd", "redirect is refused")],
    ids=["address", "scheme"],
)
def test_a_redirect_is_checked_like_a_url(loading: Served, site: Site, location: str, reason: str) -> None:
    """A site that may be reached opens no way to one that may not."""
    site.pages["/moved"] = page(b"", 302, Location=location)
    category, details = hint(look_at(loading, site.url("/moved")))
    assert (category, reason in details) == ("ImageDownloadFailed", True)


@pytest.mark.parametrize(
    ("handler", "category", "reason"),
    [
        (page(b"", 404), "ImageDownloadFailed", "HTTP 404"),
        (page(b"", 500), "ImageDownloadFailed", "HTTP 500"),
        (page(b"<html></html>"), "UnknownFormat", "the downloaded file is"),
        (page(b"\x89PNG\r\n\x1a\n" + bytes(1_000_000)), "ImageByteSizeExceedsLimit", "larger than a picture may be"),
        (page(X_Robots_Tag="noai"), "ImageDownloadFailed", "X-Robots-Tag"),
    ],
    ids=["missing", "broken", "no-picture", "too-large", "noai"],
)
def test_what_can_not_be_loaded_is_a_hint(
    loading: Served, site: Site, handler: Any, category: str, reason: str
) -> None:
    """It says why, after one request."""
    site.pages["/x"] = handler
    shown, details = hint(look_at(loading, site.url("/x")))
    assert (shown, reason in details) == (category, True)
    assert len(site.requests) == 1


def test_a_site_that_never_answers_costs_its_timeout(
    start: Start, engine: FixedEngine, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets a hint."""
    monkeypatch.setattr(picture_downloads, "TIMEOUT_SECONDS", 0.05)

    async def half_a_picture(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        assert request.transport is not None
        while not request.transport.is_closing():
            await response.write(b"\x89")
            await anyio.sleep(0.01)
        return response

    site.pages["/slow"] = half_a_picture
    category, details = hint(look_at(start(engine, fetch_from=ONLY_THE_SITE), site.url("/slow")))
    assert (category, "did not send the picture" in details) == ("ImageDownloadFailed", True)
