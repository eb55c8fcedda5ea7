"""A market of a request becomes one of the listed markets."""

from __future__ import annotations

import pytest

from pipeline.service.http.market_fit import MARKETS, fit_market, market_of_country, read_languages


@pytest.mark.parametrize("market", MARKETS)
def test_a_listed_market_is_itself(market: str) -> None:
    """A listed market is used in any case."""
    assert fit_market(market.upper()) == market
    assert market_of_country(market[3:].lower(), ["xx", market[:2]]) == market


def test_languages_in_order_of_preference() -> None:
    """Languages are sorted by their quality values; malformed ones and the asterisk are ignored."""
    assert read_languages("de;q=0.5, en-GB, fr;q=0.9, *, b@d, it;q=0.0.1") == ["en", "fr", "de", "it"]
