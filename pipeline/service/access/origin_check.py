"""Refuses requests for foreign hosts and from foreign pages: a web page must not reach a service without keys."""

from __future__ import annotations

from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from yarl import URL

from pipeline.service import refusals


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refuse_foreign_hosts(base_url: str | None) -> Middleware:
    """Return a middleware that refuses other Host headers (421) and Origin headers (403) than those of this service.

    The service's own hosts are this machine and the host of `base_url`. A page can make its own name resolve to this
    machine (DNS rebinding), and the browser then lets it read the responses; it can also post a form to any address.
    A request without these headers does not come from a browser.
    """
    own = URL(base_url).host if base_url else None

    def is_own(host: str | None) -> bool:
        return host is not None and (host == own or is_loopback(host))

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        if host is not None and not is_own(_host_of(f"http://{host}")):
            raise refusals.misdirected(host)
        if origin is not None and not is_own(_host_of(origin)):
            raise refusals.foreign_origin(origin)
        return await handler(request)

    return check


def _host_of(url: str) -> str | None:
    try:
        return URL(url).host
    except ValueError:
        return None
