"""The headers and query parameters that all endpoints share (Image Search reference, Headers and Query parameters).

The service refuses what the reference forbids, and takes the best fit where the reference asks for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pipeline.service.http.market_fit import DEFAULT_MARKET, fit_market, is_market, market_of_country, read_languages
from pipeline.service.http.wire_names import HEADERS
from pipeline.service.refusals import Refused, invalid, missing, url_too_long

MAX_URL_LENGTH = 2048
# Of a whole number: more than any size or offset has, and few enough for every database.
MAX_DIGITS = 18
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
# The documented parameters of a URL, in lower case.
PARAMETERS = frozenset(_CANONICAL)
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
class CommonParameters:
    """The market that a request is served for, and the media type of its response."""

    market: str
    media_type: str


def read_query(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the parameters of a URL that have a value, with their names spelled as in the reference.

    Names are accepted in any case, because the Image Insights guide has both imgUrl and imgurl. The first of a repeated
    name counts.
    """
    query: dict[str, str] = {}
    for name, value in pairs:
        if value:
            query.setdefault(_CANONICAL.get(name.lower(), name), value)
    return query


def read_common_parameters(url_length: int, query: Mapping[str, str], headers: Mapping[str, str]) -> CommonParameters:
    """Check the shared rules; `headers` is case-insensitive; raises Refused for the first rule that is broken."""
    if url_length > MAX_URL_LENGTH:
        raise url_too_long(url_length)
    check_choice("safeSearch", query.get("safeSearch"), SAFE_SEARCH)
    _check_language(query, headers)
    _check_location(headers.get(HEADERS.location))
    if HEADERS.client_id in headers and "Cookie" in headers:
        raise invalid("Cookie", "...", f"with {HEADERS.client_id}, a request must not include cookies")
    return CommonParameters(market=_market(query, headers), media_type=_media_type(headers.get("Accept", "")))


def is_safe(query: Mapping[str, str]) -> bool:
    """Return True if images with adult content are to be left out: always, unless safeSearch is Off."""
    return query.get("safeSearch", "Moderate").lower() != "off"


def check_choice(parameter: str, value: str | None, choices: tuple[str, ...]) -> str | None:
    """Return the choice that equals `value` in any case, or None if there is no value; raises Refused."""
    if value is None:
        return None
    for choice in choices:
        if value.lower() == choice.lower():
            return choice
    raise invalid(parameter, value, f"must be one of {', '.join(choices)}")


def check_whole_number(parameter: str, value: str | None, *, low: int = 0, high: int | None = None) -> int | None:
    """Return a whole number within its bounds, or None if there is no value; raises Refused."""
    if value is None:
        return None
    number = int(value) if value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS else None
    if number is None or number < low or (high is not None and number > high):
        bounds = f"from {low}" + (f" to {high}" if high is not None else "")
        raise invalid(parameter, value, f"must be a whole number {bounds}")
    return number


def read_site(text: str) -> str | None:
    """Return the host in lower case that `text` is, or that it is a URL of; None if it is neither."""
    try:
        parts = urlsplit(text if "//" in text else f"//{text}")
        host = parts.hostname
    except ValueError:
        return None
    return host if host and not any(char.isspace() or char == "@" for char in text) else None


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse headers with other characters than those of ASCII: no client of this protocol sends any."""
    for name, value in headers.items():
        if not value.isascii():
            raise invalid(name, value, "must have ASCII characters only")


def refuse_parameters(query: Mapping[str, str], parameters: tuple[str, ...], endpoint: str) -> None:
    """Refuse parameters that the reference allows for other endpoints only."""
    for parameter in parameters:
        if parameter in query:
            raise invalid(parameter, query[parameter], f"must not be specified for {endpoint}")


def _check_language(query: Mapping[str, str], headers: Mapping[str, str]) -> None:
    has_languages = bool(read_languages(headers.get("Accept-Language", "*")))
    if "setLang" in query and has_languages:
        raise invalid("setLang", query["setLang"], "setLang and the Accept-Language header are mutually exclusive")
    if "setLang" in query and not _LANGUAGE.fullmatch(query["setLang"]):
        raise invalid("setLang", query["setLang"], "must be a 2-letter language code")
    if "cc" in query and "mkt" in query:
        raise invalid("cc", query["cc"], "cc and mkt are mutually exclusive")
    if "cc" in query and not has_languages:
        raise missing("Accept-Language", "with cc, a request must also specify the Accept-Language header")
    if has_languages and "cc" not in query:
        raise missing("cc", "with the Accept-Language header, a request must also specify cc")


def _market(query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    if (country := query.get("cc")) is not None:
        if not _COUNTRY.fullmatch(country):
            raise invalid("cc", country, "must be a 2-character country code")
        return market_of_country(country, read_languages(headers["Accept-Language"]))
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
    parts = (part.partition(":") for part in text.split(";"))
    location = {key.strip().lower(): value.strip() for key, _, value in parts if key}
    for key in ("lat", "long", "re"):
        if key not in location:
            raise _invalid_location(text, f"lacks {key}")
    for key, value in location.items():
        if key not in _LOCATION_RANGES:
            raise _invalid_location(text, f"has the unknown key {key}")
        _check_number(text, key, value)
    if "head" in location and not float(location.get("sp", "0")):
        raise _invalid_location(text, "has head without a nonzero sp")
    if "are" in location and "alt" not in location:
        raise _invalid_location(text, "has are without alt")


def _check_number(text: str, key: str, value: str) -> None:
    low, high = _LOCATION_RANGES[key]
    try:
        number = float(value)
    except ValueError:
        raise _invalid_location(text, f"has no number for {key}") from None
    if not low <= number <= high:
        raise _invalid_location(text, f"has {key} outside {low:g} to {high:g}")


def _invalid_location(text: str, problem: str) -> Refused:
    return invalid(HEADERS.location, text, problem)
