"""Which names a service without keys answers to: a web page must not reach it by a name of its own choosing."""

from __future__ import annotations

from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Middleware
from yarl import URL

from pipeline.service import refusals
from pipeline.service.http.envelope import Handler


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def only_to_own_names(base_url: str | None) -> Middleware:
    """Refuse (421) what is sent to another host than this machine or that of `base_url`, or (403) by a page of another.

    A page's own name may be made to stand for this machine, and a browser then takes the service for the page's own;
    a page may also post a form to any address, whose answer it can't read. Without a header there is no browser.
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
            raise refusals.foreign_page(origin)
        return await handler(request)

    return check


def _host_of(url: str) -> str | None:
    try:
        return URL(url).host
    except ValueError:
        return None
