"""How many tokens a call is expected to take, and what tokens cost. The answer's own `usage` has the last word.

Sources: OpenAI's guide to images (patches of 32 px, tiles of 512 px) and its list of prices, of November 2026.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil
from typing import Final
from urllib.parse import urlsplit

_PATCH_PX: Final = 32
_MOST_PATCHES: Final = 1536
_PATCH_FACTORS: Final = {"gpt-4.1-mini": 1.62, "gpt-4.1-nano": 2.46}
_HIGHEST_FACTOR: Final = 2.46  # of a model that is not listed: an estimate that is too high stops nothing too late
_TILE_MODELS: Final = re.compile(r"(gpt-4o|gpt-4\.1|gpt-4\.5|o1|o3)(?!-mini|-nano)\b")
_DEARER_TILES: Final = "gpt-4o-mini"
_TILES_FACTOR: Final = 33.3
_CHARS_PER_TOKEN: Final = 4
# US dollars for a million tokens in and out.
_PRICES: Final = {
    "gpt-4.1-mini": (0.40, 1.60),
    "gpt-4.1-nano": (0.10, 0.40),
    "gpt-4o-mini": (0.15, 0.60),
    "gpt-5-mini": (0.25, 2.00),
    "gpt-5-nano": (0.05, 0.40),
    "gpt-5.4-nano": (0.20, 1.25),
    "gpt-6-luna": (0.10, 0.50),
}
_DATE: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_SELLERS: Final = ("api.openai.com", ".openai.azure.com", ".services.ai.azure.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What a million tokens cost."""

    tokens_in: float
    tokens_out: float
    currency: str

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        """Return what so many tokens cost."""
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6


def listed_prices(endpoint: str, model: str) -> Prices | None:
    """Return the prices that OpenAI names for a model; None for other models, and for those who sell at other prices.

    A date at the end of the model's name makes no difference.
    """
    host = urlsplit(endpoint).hostname or ""
    prices = _PRICES.get(_DATE.sub("", model))
    if prices is None or not host.endswith(_SELLERS):
        return None
    return Prices(tokens_in=prices[0], tokens_out=prices[1], currency="USD")


def tokens_of_text(chars: int) -> int:
    """Return about how many tokens a text of so many characters has."""
    return ceil(chars / _CHARS_PER_TOKEN)


def tokens_of_picture(model: str, width: int, height: int, detail: str) -> int:
    """Return about how many tokens a picture of a size in px takes."""
    name = model.rpartition("/")[2]
    if name.startswith(_DEARER_TILES):
        return ceil(_TILES_FACTOR * _tiles(width, height, detail))
    if _TILE_MODELS.match(name):
        return _tiles(width, height, detail)
    factor = next((factor for known, factor in _PATCH_FACTORS.items() if name.startswith(known)), _HIGHEST_FACTOR)
    return ceil(_patches(width, height) * factor)


def _patches(width: int, height: int) -> int:
    patches = ceil(width / _PATCH_PX) * ceil(height / _PATCH_PX)
    return min(patches, _MOST_PATCHES)


def _tiles(width: int, height: int, detail: str) -> int:
    """Return 85 tokens and 170 for each tile of 512 px, after the picture was shrunk into 2048 x 2048 and to 768."""
    if detail == "low":
        return 85
    scale = min(1.0, 2048 / max(width, height))
    scale = min(scale, 768 / min(width, height))
    return 85 + 170 * ceil(width * scale / 512) * ceil(height * scale / 512)
