"""What a call costs: each feature of each picture has its price, some are free beside another. Pure.

Source: Google's price list (cloud.google.com/vision/pricing). The first 1,000 pictures of each feature in a month are
free. That is not counted here, so a bill can be lower than what a run says, but not higher.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.providers.google.settings import GooglePrices
from pipeline.records import Usage

_FREE_WITH: Final = {"safety": "labels", "crop_hints": "colours"}
_PICTURES_PER_PRICE: Final = 1000


def usage_of_picture(features: Sequence[str], prices: GooglePrices) -> Usage:
    """Return what one picture uses with these features: one unit of each."""
    costs = {
        feature: 0.0 if _FREE_WITH.get(feature) in features else getattr(prices, feature) / _PICTURES_PER_PRICE
        for feature in features
    }
    return Usage(
        units=dict.fromkeys(features, 1),
        cost=sum(costs.values()),
        unit_costs=costs,
        currency=prices.currency,
    )
