"""The explorer: the page at / that asks this very service about a picture, and can reach nothing else."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from aiohttp import web

from pipeline.service.http.envelope import Handler

PAGE = "explorer.html"


def explorer(*, keyed: bool) -> Handler:
    """Return the handler of the page; where the service is `keyed` the page has a field for the key."""
    page = (files(__package__) / PAGE).read_text("utf-8")
    text = page.replace('data-keyed="no"', 'data-keyed="yes"') if keyed else page
    headers = {
        "Content-Security-Policy": policy(page),
        "Cache-Control": "no-cache",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }

    async def show(_request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html", headers=headers)

    return show


def policy(page: str) -> str:
    """Return the Content-Security-Policy: the page's own style and script by their digests, and this service alone."""
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
    inner = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return " ".join(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in inner)
