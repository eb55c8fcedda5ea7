"""The explorer: the page at /, which sends requests to this service and can reach nothing else."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from aiohttp import web
from aiohttp.typedefs import Handler

PAGE = "explorer.html"


def explorer_handler(*, needs_key: bool) -> Handler:
    """Return the handler of the page; with `needs_key` the page has a field for the key."""
    page = (files(__package__) / PAGE).read_text("utf-8")
    text = page.replace('data-keyed="no"', 'data-keyed="yes"') if needs_key else page
    headers = {
        "Content-Security-Policy": content_security_policy(page),
        "Cache-Control": "no-cache",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }

    async def show(_request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html", headers=headers)

    return show


def content_security_policy(page: str) -> str:
    """Return a policy that allows the page's own style and script, by their digests, and requests to this service."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src {_digests(page, 'style')}",
            f"script-src {_digests(page, 'script')}",
            "img-src 'self' blob: data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _digests(page: str, tag: str) -> str:
    contents = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return " ".join(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in contents)
