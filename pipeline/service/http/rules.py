"""The rules that every endpoint shares: headers and common query parameters (reference 004, Headers, Query parameters).

The service refuses what the reference forbids outright, and takes the best fit where the reference says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.service.http.markets import DEFAULT_MARKET, combine, fit_market, is_market, read_languages
from pipeline.service.refusals import Refused, invalid, missing, url_too_long

MAX_URL_LENGTH = 2048
# fmt: off
SEARCH_ONLY = (
    "count", "aspect", "color", "freshness", "height", "imageContent", "imageType", "license", "maxFileSize",
    "maxHeight", "maxWidth", "minFileSize", "minHeight", "minWidth", "size", "width",
)
# fmt: on
DETAILS_ONLY = ("cab", "cal", "car", "cat", "ct", "imgUrl", "insightsToken", "modules")
SAFE_SEARCH = ("Off", "Moderate", "Strict")
COMMON = ("cc", "id", "mkt", "offset", "q", "safeSearch", "setLang")
_CANONICAL = {name.lower(): name for name in (*COMMON, *SEARCH_ONLY, *DETAILS_ONLY)}
_LANGUAGE = re.compile(r"[a-z]{2}(-[a-z]{2,4})?", re.IGNORECASE)
_COUNTRY = re.compile(r"[a-z]{2}", re.IGNORECASE)
_LOCATION_RANGES = {
    "lat": (-90.0, 90.0),
    "long": (-180.0, 180.0),
    "re": (0.0, float("inf")),
    "ts": (0.0, float("inf")),
    "head": (0.0, 360.0),
    "sp": (0.0, float("inf")),
    "alt": (float("-inf"), float("inf")),
    "are": (0.0, float("inf")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conventions:
    """What holds for one request: the market used, and the media type of the answer."""

    market: str
    media_type: str


def read_query(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the parameters of a query string that have a value, under the reference's own spelling of their names.

    Reference 001 writes imgUrl and imgurl: names are taken in any case. The first of a repeated name counts.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        if value:
            found.setdefault(_CANONICAL.get(name.lower(), name), value)
    return found


def check_conventions(url_length: int, query: Mapping[str, str], headers: Mapping[str, str]) -> Conventions:
    """Apply the shared rules; `headers` is case-insensitive; raises Refused for the first broken one."""
    if url_length > MAX_URL_LENGTH:
        raise url_too_long(url_length)
    check_choice("safeSearch", query.get("safeSearch"), SAFE_SEARCH)
    _check_language(query, headers)
    _check_location(headers.get("X-Search-Location"))
    if "X-MSEdge-ClientID" in headers and "Cookie" in headers:
        raise invalid("Cookie", "...", "with X-MSEdge-ClientID, a request must not include cookies")
    return Conventions(market=_market(query, headers), media_type=_media_type(headers.get("Accept", "")))


def check_choice(parameter: str, value: str | None, choices: tuple[str, ...]) -> str | None:
    """Return the choice that `value` means, whatever its case, or None where it isn't given."""
    if value is None:
        return None
    for choice in choices:
        if value.lower() == choice.lower():
            return choice
    raise invalid(parameter, value, f"must be one of {', '.join(choices)}")


def check_whole(parameter: str, value: str | None, *, low: int = 0, high: int | None = None) -> int | None:
    """Return a whole number within its bounds, or None where it isn't given."""
    if value is None:
        return None
    number = int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None
    if number is None or number < low or (high is not None and number > high):
        bounds = f"from {low}" + (f" to {high}" if high is not None else "")
        raise invalid(parameter, value, f"must be a whole number {bounds}")
    return number


def exclude(query: Mapping[str, str], parameters: tuple[str, ...], endpoint: str) -> None:
    """Refuse parameters that the reference allows for other endpoints only."""
    for parameter in parameters:
        if parameter in query:
            raise invalid(parameter, query[parameter], f"must not be specified for {endpoint}")


def _check_language(query: Mapping[str, str], headers: Mapping[str, str]) -> None:
    languages = headers.get("Accept-Language", "*")
    given = bool(read_languages(languages))
    if "setLang" in query and given:
        raise invalid("setLang", query["setLang"], "setLang and the Accept-Language header are mutually exclusive")
    if "setLang" in query and not _LANGUAGE.fullmatch(query["setLang"]):
        raise invalid("setLang", query["setLang"], "must be a 2-letter language code")
    if "cc" in query and "mkt" in query:
        raise invalid("cc", query["cc"], "cc and mkt are mutually exclusive")
    if "cc" in query and not given:
        raise missing("Accept-Language", "with cc, a request must also specify the Accept-Language header")
    if given and "cc" not in query:
        raise missing("cc", "with the Accept-Language header, a request must also specify cc")


def _market(query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    if (country := query.get("cc")) is not None:
        if not _COUNTRY.fullmatch(country):
            raise invalid("cc", country, "must be a 2-character country code")
        return combine(read_languages(headers["Accept-Language"]), country)
    if (market := query.get("mkt")) is not None:
        if not is_market(market):
            raise invalid("mkt", market, "must have the form <language code>-<country code>")
        return fit_market(market)
    return DEFAULT_MARKET


def _media_type(accept: str) -> str:
    return "application/ld+json" if "application/ld+json" in accept.lower() else "application/json"


def _check_location(text: str | None) -> None:
    if text is None:
        return
    found = {key.strip().lower(): value.strip() for key, _, value in (p.partition(":") for p in text.split(";")) if key}
    for key in ("lat", "long", "re"):
        if key not in found:
            raise _bad_location(text, f"lacks {key}")
    for key, value in found.items():
        if key not in _LOCATION_RANGES:
            raise _bad_location(text, f"has the unknown key {key}")
        _check_coordinate(text, key, value)
    if "head" in found and not float(found.get("sp", "0")):
        raise _bad_location(text, "has head without a nonzero sp")
    if "are" in found and "alt" not in found:
        raise _bad_location(text, "has are without alt")


def _check_coordinate(text: str, key: str, value: str) -> None:
    low, high = _LOCATION_RANGES[key]
    try:
        number = float(value)
    except ValueError:
        raise _bad_location(text, f"has no number for {key}") from None
    if not low <= number <= high:
        raise _bad_location(text, f"has {key} outside {low:g} to {high:g}")


def _bad_location(text: str, problem: str) -> Refused:
    return invalid("X-Search-Location", text, problem)
