"""Markets, countries and other closed sets of values, in their documented spelling (Image Search reference)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from difflib import get_close_matches

# fmt: off
MARKETS = (
    "es-AR", "en-AU", "de-AT", "nl-BE", "fr-BE", "pt-BR", "en-CA", "fr-CA", "es-CL", "da-DK", "fi-FI", "fr-FR", "de-DE",
    "zh-HK", "en-IN", "en-ID", "it-IT", "ja-JP", "ko-KR", "en-MY", "es-MX", "nl-NL", "en-NZ", "zh-CN", "pl-PL", "pt-PT",
    "en-PH", "ru-RU", "ar-SA", "en-ZA", "es-ES", "sv-SE", "fr-CH", "de-CH", "zh-TW", "tr-TR", "en-GB", "en-US", "es-US",
)
COUNTRIES = (
    "AR", "AU", "AT", "BE", "BR", "CA", "CL", "DK", "FI", "FR", "DE", "HK", "IN", "ID", "IT", "JP", "KR", "MY", "MX",
    "NL", "NZ", "NO", "CN", "PL", "PT", "PH", "RU", "SA", "ZA", "ES", "SE", "CH", "TW", "TR", "GB", "US",
)
# fmt: on
MODULES = (
    "All",
    "BRQ",
    "Caption",
    "Collections",
    "Recipes",
    "PagesIncluding",
    "RecognizedEntities",
    "RelatedSearches",
    "ShoppingSources",
    "SimilarImages",
    "SimilarProducts",
    "Tags",
)
AVAILABILITIES = (
    "Discontinued",
    "InStock",
    "InStoreOnly",
    "LimitedAvailability",
    "OnlineOnly",
    "OutOfStock",
    "PreOrder",
    "SoldOut",
)
SAFE_SEARCH = ("Off", "Moderate", "Strict")


def one_of(names: Iterable[str], what: str) -> Callable[[str], str]:
    """Return a function that gives a name, in any case, its documented spelling; it raises ValueError for others."""
    known = {name.lower(): name for name in names}

    def check(value: str) -> str:
        name = known.get(value.strip().lower())
        if name is not None or not value:
            return name or ""
        close = get_close_matches(value.lower(), known, n=1)
        hint = f"did you mean {known[close[0]]!r}?" if close else f"known are {', '.join(known.values())}"
        raise ValueError(f"is no {what}; {hint}")

    return check


_MARKET_FORM = re.compile(r"([a-z]{2})-([a-z]{2})", re.IGNORECASE)
_listed_market = one_of(MARKETS, "market")


def market(value: str) -> str:
    """Return a market in its documented spelling; for one that is not listed, the service uses its best fit.

    Raises ValueError for what has not the form of a market.
    """
    try:
        return _listed_market(value)
    except ValueError:
        form = _MARKET_FORM.fullmatch(value.strip())
        if form is None:
            raise
        return f"{form[1].lower()}-{form[2].upper()}"


def market_note(value: str) -> str:
    """Return what a user should know about a market that is not listed, "" for any other."""
    if not value or value in MARKETS:
        return ""
    close = get_close_matches(value, MARKETS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{value!r} is none of the documented markets, so that the service uses the one that fits best{hint}"


country = one_of(COUNTRIES, "country code")
module = one_of(MODULES, "module")
safe_search = one_of(SAFE_SEARCH, "safe_search value")


def decimal_text(value: float) -> str:
    """Write a number with digits and a point, as the documents do, and never as 1e-05."""
    return f"{Decimal(repr(value)):f}"
