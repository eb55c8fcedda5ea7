"""Builds the searches for one picture: one for each type, with the public URL of the picture.

Source: serpapi.com/google-lens-api. The key is no part of a search; it is added when one is sent.
"""

from __future__ import annotations

import os
import re
from typing import Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from pipeline.errors import RequestError
from pipeline.providers.lens.settings import LensSettings
from pipeline.records import InsightsToken, LocalFile, Prepared, RemoteUrl, Request, Row, image_name

PATH: Final = "/search.json"
_ENGINE: Final = "google_lens"  # not google_reverse_image, which fails for all requests since July 2026
_TAKE_WORDS: Final = frozenset({"all", "visual_matches", "products"})
_MARKET: Final = re.compile(r"([A-Za-z]{2})-([A-Za-z]{2})", re.ASCII)
_OF_COUNTRIES: Final = frozenset({"zh", "pt"})  # languages that Google has for single countries only


def build_searches(row: Row, prepared: Prepared | None, settings: LensSettings) -> tuple[Request, ...]:
    """Return one search for each type; raises RequestError where the row's picture has no public URL.

    The URL of a local file may stay the same when the file changes. So the fragment of the target, which is never sent,
    holds its hash: it makes another picture another request.
    """
    if row.crop is not None:
        raise RequestError(
            "crop-not-possible", "Lens looks at whole pictures; leave the crop out, or give a URL of the cut picture"
        )
    common = {"engine": _ENGINE, "url": _public_url(row, settings), **_places(row, settings)}
    fragment = f"#{prepared.source.sha256}" if prepared is not None and prepared.source.sha256 else ""
    return tuple(
        Request(
            method="GET",
            target=f"{PATH}?{_query(common, kind, row, settings)}{fragment}",
            form="url",
            headers=(("Accept", "application/json"),),
        )
        for kind in settings.types
    )


def search_type(request: Request) -> str:
    """Return the type of a search."""
    return parse_qs(urlsplit(request.target).query).get("type", ["all"])[0]


def with_key(request: Request, key: str) -> str:
    """Return the target as it is sent: with the key, which the service takes in the query only."""
    return f"{request.target.partition('#')[0]}&{urlencode({'api_key': key}, quote_via=quote)}"


def _query(common: dict[str, str], kind: str, row: Row, settings: LensSettings) -> str:
    parameters = {
        **common,
        "type": kind,
        "q": (row.query or "") if kind in _TAKE_WORDS else "",
        "safe": settings.safe,
        "no_cache": "true" if settings.no_cache else "",
    }
    given = {name: value for name, value in parameters.items() if value}
    return urlencode(given, quote_via=quote, safe="")


def _public_url(row: Row, settings: LensSettings) -> str:
    """Return where the service can load the picture."""
    match row.image:
        case InsightsToken():
            raise RequestError("token-not-offered", "the service knows no insights tokens; give a path or a URL")
        case RemoteUrl(url=url):
            return _checked(url)
        case LocalFile(name=name) if settings.public_base:
            return f"{settings.public_base}/{quote(os.fsencode(name))}"
        case LocalFile():
            why = "the service loads pictures from the web only; set provider.public_base to where this folder is there"
        case _:
            why = "the service loads pictures from public URLs only, not from archives or cloud storage; give its URL"
    raise RequestError("needs-url", f"{image_name(row.image)}: {why}")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise RequestError("bad-url", f"{url!r} is not an http or https URL")
    return url


def _places(row: Row, settings: LensSettings) -> dict[str, str]:
    """Return the language and the country: those of the row's market, else those of the config."""
    if not row.market:
        return {"hl": settings.language, "country": settings.country}
    market = _MARKET.fullmatch(row.market)
    if market is None:
        raise RequestError("unknown-market", f"{row.market!r} is no market; write a language and a country as in en-US")
    language, country = market[1].lower(), market[2].lower()
    return {"hl": f"{language}-{country}" if language in _OF_COUNTRIES else language, "country": country}
