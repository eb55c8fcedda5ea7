"""Refuses requests for foreign hosts and from foreign pages: a web page must not reach a service without keys."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from yarl import URL

from pipeline.guards.loopback import is_loopback
from pipeline.service import refusals

# What a browser sends for a page without an address of its own, and so do clients that are no browsers. Browsers add
# Sec-Fetch-Site, which decides then.
NO_ORIGIN = "null"


def refuse_foreign_hosts(base_url: str | None) -> Middleware:
    """Return a middleware that refuses what a foreign page makes a browser send, before it costs anything.

    The service's own hosts are this machine and the host of `base_url`. A page can make its own name resolve to this
    machine (DNS rebinding), and the browser then lets it read the responses: other Host headers get a 421. It can also
    post a form to any address, or load one as a picture: other Origin headers, and requests that the browser says are
    cross-site, get a 403. A request without these headers does not come from a browser.
    """
    own = URL(base_url).host if base_url else None

    def is_own(host: str | None) -> bool:
        return host is not None and (host == own or is_loopback(host))

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        if host is not None and not is_own(_host_of(f"http://{host}")):
            raise refusals.misdirected(host)
        if origin not in {None, NO_ORIGIN} and not is_own(_host_of(str(origin))):
            raise refusals.foreign_origin(str(origin))
        site = request.headers.get("Sec-Fetch-Site", "").strip().lower()
        if site == "cross-site" and not _opens_page(request):
            raise refusals.cross_site(site)
        return await handler(request)

    return check


def _opens_page(request: web.Request) -> bool:
    """Return True if the request is a click on a link to the explorer, which shows a page and does nothing else."""
    fetch = (request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest"))
    return request.method == "GET" and request.path == "/" and fetch == ("navigate", "document")


def _host_of(url: str) -> str | None:
    try:
        return URL(url).host
    except ValueError:
        return None
