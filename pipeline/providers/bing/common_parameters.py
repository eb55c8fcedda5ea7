"""Headers and query parameters that all requests share, and the rules that each request must keep.

Source: Image Search reference.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

from pipeline.errors import RequestError
from pipeline.providers.bing.documented_values import market
from pipeline.providers.bing.error_bodies import MAX_URL_CHARS
from pipeline.providers.bing.settings import QuerySettings
from pipeline.records import Crop, Row

MAX_QUERY_CHARS = 1500  # the query string must be shorter than this

Pairs = tuple[tuple[str, str], ...]


def headers(settings: QuerySettings) -> Pairs:
    """Return the headers that can change a response; the key and the client id can't."""
    pairs = (
        ("Accept", settings.accept),
        ("Accept-Language", ", ".join(settings.accept_language)),
        ("Pragma", "no-cache" if settings.no_cache else ""),
        ("User-Agent", settings.user_agent),
        ("X-MSEdge-ClientIP", settings.client_ip),
        ("X-Search-Location", settings.location.header() if settings.location else ""),
    )
    return tuple((name, value) for name, value in pairs if value)


def shared_query(settings: QuerySettings, market_code: str) -> Pairs:
    """Return the query parameters that every endpoint takes."""
    pairs = (
        ("mkt", market_code),
        ("cc", settings.cc),
        ("setLang", settings.set_lang),
        ("safeSearch", settings.safe_search),
    )
    return tuple((name, value) for name, value in pairs if value)


def row_market(row: Row, settings: QuerySettings) -> str:
    """Return the row's own market, or the config's; raises RequestError for a market that the service doesn't have."""
    if not row.market:
        return settings.market
    if settings.cc:
        raise RequestError("market-and-country", f"market {row.market!r} excludes provider.cc; leave one of them out")
    try:
        return market(row.market)
    except ValueError as exc:
        raise RequestError("unknown-market", f"market {row.market!r} {exc}") from None


def check_crop(crop: Crop) -> None:
    """Raise RequestError unless the edges are in order and within 0..1 (Visual Search guide, cropArea)."""
    if not (0 <= crop.left < crop.right <= 1 and 0 <= crop.top < crop.bottom <= 1):
        edges = f"left {crop.left}, top {crop.top}, right {crop.right}, bottom {crop.bottom}"
        raise RequestError("bad-crop", f"the crop's edges must be in order and within 0..1; they are {edges}")


def target(endpoint: str, path: str, query: Iterable[tuple[str, str]]) -> str:
    """Return the path with the encoded query; raises RequestError if it is longer than the service allows."""
    encoded = urlencode(list(query))
    if len(encoded) >= MAX_QUERY_CHARS:
        raise RequestError(
            "query-too-long", f"the query has {len(encoded)} characters; it must be shorter than {MAX_QUERY_CHARS}"
        )
    path_and_query = f"{path}?{encoded}" if encoded else path
    url_chars = len(endpoint) + len(path_and_query)
    if url_chars > MAX_URL_CHARS:
        raise RequestError("url-too-long", f"the URL has {url_chars} characters; the limit is {MAX_URL_CHARS}")
    return path_and_query
