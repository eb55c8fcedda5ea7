"""What every request of a job has in common, and the rules that each request must keep (reference 004)."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

from pipeline.errors import RequestError
from pipeline.providers.bing import markets
from pipeline.providers.bing.errors import MAX_URL_CHARS
from pipeline.providers.bing.settings import QuerySettings
from pipeline.records import Crop, Row

MAX_QUERY_CHARS = 1500  # the query string must stay below this

Pairs = tuple[tuple[str, str], ...]


def headers(settings: QuerySettings) -> Pairs:
    """Return the headers that can change an answer; the key and the client id are none of them."""
    found = (
        ("Accept", settings.accept),
        ("Accept-Language", ", ".join(settings.accept_language)),
        ("Pragma", "no-cache" if settings.no_cache else ""),
        ("User-Agent", settings.user_agent),
        ("X-MSEdge-ClientIP", settings.client_ip),
        ("X-Search-Location", settings.location.header() if settings.location else ""),
    )
    return tuple((name, value) for name, value in found if value)


def shared_query(settings: QuerySettings, market: str) -> Pairs:
    """Return the query parameters that every endpoint takes."""
    found = (
        ("mkt", market),
        ("cc", settings.cc),
        ("setLang", settings.set_lang),
        ("safeSearch", settings.safe_search),
    )
    return tuple((name, value) for name, value in found if value)


def row_market(row: Row, settings: QuerySettings) -> str:
    """Return the market of a row: its own, or the config's; raises RequestError for one that can't be asked for."""
    if not row.market:
        return settings.market
    if settings.cc:
        raise RequestError("market-and-country", f"market {row.market!r} excludes provider.cc; leave one of them out")
    try:
        return markets.market(row.market)
    except ValueError as exc:
        raise RequestError("unknown-market", f"market {row.market!r} {exc}") from None


def check_crop(crop: Crop) -> None:
    """Raise RequestError unless the edges are in order and within 0..1 (reference 000, cropArea)."""
    if not (0 <= crop.left < crop.right <= 1 and 0 <= crop.top < crop.bottom <= 1):
        edges = f"left {crop.left}, top {crop.top}, right {crop.right}, bottom {crop.bottom}"
        raise RequestError("bad-crop", f"the crop's edges must be in order and within 0..1, but are {edges}")


def target(endpoint: str, path: str, query: Iterable[tuple[str, str]]) -> str:
    """Return path and percent-encoded query; raises RequestError where the service would refuse their length."""
    encoded = urlencode(list(query))
    if len(encoded) >= MAX_QUERY_CHARS:
        raise RequestError(
            "query-too-long", f"the query has {len(encoded)} characters, but must stay below {MAX_QUERY_CHARS}"
        )
    found = f"{path}?{encoded}" if encoded else path
    if len(endpoint) + len(found) > MAX_URL_CHARS:
        raise RequestError(
            "url-too-long", f"the URL has {len(endpoint) + len(found)} characters, but may have {MAX_URL_CHARS}"
        )
    return found
