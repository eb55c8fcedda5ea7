"""The markets of the Image Search reference (Market codes), and the best fit for a market that isn't one of them."""

from __future__ import annotations

import re

DEFAULT_MARKET = "en-US"
# fmt: off
MARKETS = (
    "es-AR", "en-AU", "de-AT", "nl-BE", "fr-BE", "pt-BR", "en-CA", "fr-CA", "es-CL", "da-DK", "fi-FI", "fr-FR",
    "de-DE", "zh-HK", "en-IN", "en-ID", "it-IT", "ja-JP", "ko-KR", "en-MY", "es-MX", "nl-NL", "en-NZ", "zh-CN",
    "pl-PL", "pt-PT", "en-PH", "ru-RU", "ar-SA", "en-ZA", "es-ES", "sv-SE", "fr-CH", "de-CH", "zh-TW", "tr-TR",
    "en-GB", "en-US", "es-US",
)
# fmt: on
_MARKET = re.compile(r"([a-z]{2})-([a-z]{2})", re.IGNORECASE)
_RANGE = re.compile(r"([a-z]{1,8}|\*)(?:-[a-z0-9]{1,8})*(?:\s*;\s*q=([0-9.]+))?", re.IGNORECASE)


def is_market(text: str) -> bool:
    """Return True if `text` has the form <language code>-<country code>."""
    return _MARKET.fullmatch(text) is not None


def fit_market(text: str) -> str:
    """Return the best fit for a well-formed market: itself, one of its country, one of its language, or en-US."""
    language, _, country = text.lower().partition("-")
    return _best_fit([language], country.upper())


def market_of_country(country: str, languages: list[str]) -> str:
    """Return the market of a country for the first of `languages` that it has (Image Search reference, cc)."""
    return _best_fit(languages, country.upper())


def read_languages(accept_language: str) -> list[str]:
    """Return the two-letter languages of an Accept-Language header, the preferred first; `*` is ignored."""
    ranges = [_RANGE.fullmatch(part.strip()) for part in accept_language.split(",")]
    ranked = sorted((match for match in ranges if match), key=lambda match: -_weight(match[2]))
    return [match[1].lower() for match in ranked if match[1] != "*"]


def _weight(text: str | None) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0


def _best_fit(languages: list[str], country: str) -> str:
    of_country = [market for market in MARKETS if market.endswith(country)]
    exact = [f"{language}-{country}" for language in languages if f"{language}-{country}" in MARKETS]
    of_language = [market for language in languages for market in MARKETS if market.startswith(f"{language}-")]
    default = [DEFAULT_MARKET] if "en" in languages and not of_country else []
    return (exact or of_country or default or of_language or [DEFAULT_MARKET])[0]
