"""Markets, countries and other closed sets of values, in their documented spelling (Image Search reference)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


market = one_of(MARKETS, "market")
country = one_of(COUNTRIES, "country code")
module = one_of(MODULES, "module")
safe_search = one_of(SAFE_SEARCH, "safe_search value")
