"""The [provider] table of Google Lens at SerpApi (docs/config.md says what each key means)."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, field_validator

from pipeline.config import ProviderSettings, Section
from pipeline.config.values import check_base_url

SearchType = Literal["visual_matches", "products", "exact_matches", "all", "about_this_image"]
Price = Annotated[float, Field(ge=0, le=1e6)]
LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[a-z]{2,4})?", re.ASCII)
COUNTRY: Final = re.compile(r"[a-z]{2}", re.ASCII)


class LensPrices(Section):
    """[provider.prices]: what 1,000 searches cost; the default is that of a plan of 5,000 searches for $75 a month."""

    searches: Price = 15.0
    currency: Annotated[str, Field(max_length=10)] = "USD"


class LensSettings(ProviderSettings):
    """Google Lens at SerpApi: which searches are made for each picture, and where local pictures are on the web."""

    counts = "units"
    keys_without_effect = ProviderSettings.keys_without_effect | {"prices"}

    endpoint: str = "https://serpapi.com"
    key_env: str = "SERPAPI_API_KEY"
    types: tuple[SearchType, ...] = ("visual_matches",)
    public_base: Annotated[str, AfterValidator(check_base_url)] = ""
    language: str = ""
    country: str = ""
    safe: Literal["", "active", "off"] = ""
    no_cache: bool = False
    prices: LensPrices = LensPrices()

    @property
    def has_prices(self) -> bool:
        """True: each search has the same price."""
        return True

    @field_validator("types")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("must name at least one type of search")
        if len(set(value)) < len(value):
            raise ValueError("names a type twice; each is a search that is paid for")
        return value

    @field_validator("language")
    @classmethod
    def _language(cls, value: str) -> str:
        if value and not LANGUAGE.fullmatch(value):
            raise ValueError('must be a language such as "en" or "pt-br"')
        return value

    @field_validator("country")
    @classmethod
    def _country(cls, value: str) -> str:
        if value and not COUNTRY.fullmatch(value):
            raise ValueError('must be a country of two letters such as "us"')
        return value
