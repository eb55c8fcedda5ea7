"""Reads an Image Search request (Image Search reference, Query parameters and Filter query parameters).

Filters that the catalogue has no data for are refused by name, because ignoring them would give wrong results. They are
a 400 and not the documented 500 NotImplemented, which clients take for a temporary error and retry.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import cast

from pipeline.service.http.common_parameters import (
    DETAILS_ONLY,
    check_choice,
    check_whole_number,
    is_safe,
    refuse_parameters,
)
from pipeline.service.http.market_fit import DEFAULT_MARKET
from pipeline.service.refusals import invalid, missing
from pipeline.service.search.expression import Expression, ExpressionError, parse
from pipeline.service.search.query import (
    DEFAULT_COUNT,
    MAX_COUNT,
    ImageType,
    NumberRange,
    PageRange,
    SearchFilters,
    SearchQuery,
)

MAX_FILE_SIZE_FILTER = 520_192
COLORS = (
    "Black", "Blue", "Brown", "Gray", "Green", "Orange", "Pink", "Purple", "Red", "Teal", "White", "Yellow",
)  # fmt: skip
TONES = ("ColorOnly", "Monochrome")
LICENSES = ("All", "Any", "Public", "Share", "ShareCommercially", "Modify", "ModifyCommercially")
IMAGE_TYPES = ("AnimatedGif", "AnimatedGifHttps", "Clipart", "Line", "Photo", "Shopping", "Transparent")
SIZES = ("Small", "Medium", "Large", "Wallpaper", "All")
ASPECTS = ("Square", "Wide", "Tall", "All")
SHOPPING_MARKET = "en-US"
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_MAX_NUMBER = 65_535


def read_search_request(query: Mapping[str, str], market: str = DEFAULT_MARKET) -> SearchQuery:
    """Read the parameters of /images/search, answered for a market; raises Refused for a rule that is broken."""
    refuse_parameters(query, DETAILS_ONLY, "/images/search")
    text = query.get("q", "").strip()
    if not text:
        raise missing("q", "the search term cannot be empty")
    count = check_whole_number("count", query.get("count"), low=1, high=MAX_COUNT)
    return SearchQuery(
        text=text,
        expression=read_expression(text),
        filters=_read_filters(query, market),
        page=PageRange(
            offset=check_whole_number("offset", query.get("offset"), high=_MAX_NUMBER) or 0,
            count=DEFAULT_COUNT if count is None else count,
        ),
        first_id=query.get("id") or None,
    )


def read_expression(text: str) -> Expression | None:
    """Return the tree of a search term, q; raises Refused for an operator that this search does not have."""
    try:
        return parse(text)
    except ExpressionError as exc:
        raise invalid("q", text, str(exc)) from exc


def _read_filters(query: Mapping[str, str], market: str) -> SearchFilters:
    _refuse_unsupported(query)
    since, until = _read_freshness(query.get("freshness"))
    return SearchFilters(
        width=_read_bounds(query, "Width"),
        height=_read_bounds(query, "Height"),
        bytes=_read_file_size(query),
        size=_read_choice(query, "size", SIZES),
        aspect=_read_choice(query, "aspect", ASPECTS),
        color=_read_choice(query, "color", (*TONES, *COLORS)),
        image_type=_read_image_type(query, market),
        license=_read_choice(query, "license", LICENSES),
        without_adult=is_safe(query),
        since=since,
        until=until,
    )


def _read_choice(query: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str | None:
    """Return the choice; All is the same as no choice."""
    choice = check_choice(name, query.get(name), choices)
    return None if choice == "All" else choice


def _read_image_type(query: Mapping[str, str], market: str) -> ImageType | None:
    """Return the type. Facts decide on all but Photo, for which all pictures pass that aren't animated."""
    kind = check_choice("imageType", query.get("imageType"), IMAGE_TYPES)
    if kind == "Shopping" and market != SHOPPING_MARKET:
        raise invalid("imageType", kind, f"Shopping is valid in the market {SHOPPING_MARKET} only; this is {market}")
    if kind in {"Clipart", "Line"}:
        raise invalid(
            "imageType", kind, "this service has no model that tells photographs, clip art and drawings apart"
        )
    return cast("ImageType | None", kind)


def _refuse_unsupported(query: Mapping[str, str]) -> None:
    if content := check_choice("imageContent", query.get("imageContent"), ("Face", "Portrait")):
        raise invalid("imageContent", content, "this service has no model that finds faces")


def _read_bounds(query: Mapping[str, str], side: str) -> NumberRange:
    exact = check_whole_number(side.lower(), query.get(side.lower()), high=_MAX_NUMBER)
    low, high = (check_whole_number(f"{end}{side}", query.get(f"{end}{side}")) for end in ("min", "max"))
    if exact is None:
        return NumberRange(low=low, high=high)
    if low is not None or high is not None:
        name = f"min{side}" if low is not None else f"max{side}"
        raise invalid(name, query[name], f"{name} and {side.lower()} are mutually exclusive")
    return NumberRange(low=exact, high=exact)


def _read_file_size(query: Mapping[str, str]) -> NumberRange:
    low, high = (check_whole_number(name, query.get(name)) for name in ("minFileSize", "maxFileSize"))
    return NumberRange(
        low=None if low is None else min(low, MAX_FILE_SIZE_FILTER),
        high=None if high is None else min(high, MAX_FILE_SIZE_FILTER),
    )


def _read_freshness(text: str | None) -> tuple[datetime | None, datetime | None]:
    """Return from when on, and until when; the last day of a range is meant as a whole."""
    if text is None:
        return None, None
    if text.lower() in _DAYS:
        return datetime.now(UTC) - timedelta(days=_DAYS[text.lower()]), None
    try:
        since, until = (datetime.combine(date.fromisoformat(part), time(), UTC) for part in text.split(".."))
    except ValueError:
        raise invalid("freshness", text, "must be Day, Week, Month, Year or 2017-06-15..2018-06-15") from None
    if since > until:
        raise invalid("freshness", text, "must begin before it ends")
    return since, until + timedelta(days=1)
