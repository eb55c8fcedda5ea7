"""Read an Image Search request (reference 004, Query parameters and Filter query parameters).

Filters that the catalogue can't decide honestly are refused by name: a filter that is silently ignored would lie. They
are a 400, not the documented 500 NotImplemented, which clients take for a passing fault and try again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from pipeline.service.http.rules import DETAILS_ONLY, check_choice, check_whole, exclude
from pipeline.service.http.wire import DEFAULT_COUNT, MAX_COUNT, Page
from pipeline.service.refusals import invalid, missing

LARGEST_FILE_FILTER = 520_192
COLORS = (
    "Black", "Blue", "Brown", "Gray", "Green", "Orange", "Pink", "Purple", "Red", "Teal", "White", "Yellow",
)  # fmt: skip
TONES = ("ColorOnly", "Monochrome")
LICENSES = ("All", "Any", "Public", "Share", "ShareCommercially", "Modify", "ModifyCommercially")
IMAGE_TYPES = ("AnimatedGif", "AnimatedGifHttps", "Clipart", "Line", "Photo", "Shopping", "Transparent")
SIZES = ("Small", "Medium", "Large", "Wallpaper", "All")
ASPECTS = ("Square", "Wide", "Tall", "All")
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_SITE = re.compile(r"(?:^|\s)site:(\S+)", re.IGNORECASE)
_LARGEST = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """A range of whole numbers, both ends included; None leaves an end open."""

    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What the images must be: pixels, bytes, `aspect` and `size` as named in the reference, days of publication."""

    width: Bounds = field(default_factory=Bounds)
    height: Bounds = field(default_factory=Bounds)
    bytes: Bounds = field(default_factory=Bounds)
    size: str | None = None
    aspect: str | None = None
    color: str | None = None
    priced: bool = False
    since: date | None = None
    until: date | None = None
    site: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One search: `words` without operators, and the image that is to come first."""

    query: str
    words: str
    filters: Filters
    page: Page
    first: str | None = None


def read_search(query: Mapping[str, str]) -> Search:
    """Read the query of /images/search; raises Refused."""
    exclude(query, DETAILS_ONLY, "/images/search")
    text = query.get("q", "").strip()
    if not text:
        raise missing("q", "the search term cannot be empty")
    site = _SITE.search(text)
    count = check_whole("count", query.get("count"), low=1, high=MAX_COUNT)
    return Search(
        query=text,
        words=_SITE.sub(" ", text).strip(),
        filters=_read_filters(query, site[1].lower() if site else None),
        page=Page(
            offset=check_whole("offset", query.get("offset"), high=_LARGEST) or 0,
            count=DEFAULT_COUNT if count is None else count,
        ),
        first=query.get("id") or None,
    )


def _read_filters(query: Mapping[str, str], site: str | None) -> Filters:
    _check_undecidable(query)
    since, until = _read_freshness(query.get("freshness"))
    return Filters(
        width=_read_bounds(query, "Width"),
        height=_read_bounds(query, "Height"),
        bytes=_read_file_size(query),
        size=_choice(query, "size", SIZES),
        aspect=_choice(query, "aspect", ASPECTS),
        color=_choice(query, "color", (*TONES, *COLORS)),
        priced=_choice(query, "imageType", IMAGE_TYPES) == "Shopping",
        since=since,
        until=until,
        site=site,
    )


def _choice(query: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str | None:
    """Return the choice made; All is the same as none."""
    choice = check_choice(name, query.get(name), choices)
    return None if choice == "All" else choice


def _check_undecidable(query: Mapping[str, str]) -> None:
    if content := check_choice("imageContent", query.get("imageContent"), ("Face", "Portrait")):
        raise invalid("imageContent", content, "this service doesn't know faces")
    if licence := _choice(query, "license", LICENSES):
        raise invalid("license", licence, "the catalogue doesn't say under which licence its images are")
    kind = check_choice("imageType", query.get("imageType"), IMAGE_TYPES)
    if kind not in {None, "Shopping"}:
        raise invalid("imageType", kind, "of the image types, this service can tell only Shopping")
    if check_choice("size", query.get("size"), SIZES) == "Wallpaper":
        raise invalid("size", "Wallpaper", "this service can't tell wallpapers from other large images")


def _read_bounds(query: Mapping[str, str], side: str) -> Bounds:
    exact = check_whole(side.lower(), query.get(side.lower()), high=_LARGEST)
    low, high = (check_whole(f"{end}{side}", query.get(f"{end}{side}")) for end in ("min", "max"))
    if exact is None:
        return Bounds(low=low, high=high)
    if low is not None or high is not None:
        name = f"min{side}" if low is not None else f"max{side}"
        raise invalid(name, query[name], f"{name} and {side.lower()} are mutually exclusive")
    return Bounds(low=exact, high=exact)


def _read_file_size(query: Mapping[str, str]) -> Bounds:
    low, high = (check_whole(name, query.get(name)) for name in ("minFileSize", "maxFileSize"))
    return Bounds(
        low=None if low is None else min(low, LARGEST_FILE_FILTER),
        high=None if high is None else min(high, LARGEST_FILE_FILTER),
    )


def _read_freshness(text: str | None) -> tuple[date | None, date | None]:
    if text is None:
        return None, None
    if text.lower() in _DAYS:
        return (datetime.now(UTC) - timedelta(days=_DAYS[text.lower()])).date(), None
    try:
        since, until = (date.fromisoformat(part) for part in text.split(".."))
    except ValueError:
        raise invalid("freshness", text, "must be Day, Week, Month, Year or 2017-06-15..2018-06-15") from None
    if since > until:
        raise invalid("freshness", text, "must begin before it ends")
    return since, until
