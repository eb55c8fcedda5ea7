"""How one insight API is asked and understood; pure functions, no I/O. A new API is a folder and a line here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pipeline.config import ProviderSettings
from pipeline.providers.base import Provider
from pipeline.providers.bing.provider import make_bing, make_local
from pipeline.providers.bing.settings import BingSettings, LocalSettings


class Maker(Protocol):
    """Makes a provider from its settings."""

    def __call__(self, settings: ProviderSettings, endpoint: str = "") -> Provider:
        """Return the provider; `endpoint`, where given, takes the place of the settings' own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKind:
    """One insight API: the model of its [provider] table, and what makes a provider of it."""

    settings: type[ProviderSettings]
    make: Maker


PROVIDERS: dict[str, ProviderKind] = {
    "bing": ProviderKind(settings=BingSettings, make=make_bing),
    "local": ProviderKind(settings=LocalSettings, make=make_local),
}


def settings_models() -> dict[str, type[ProviderSettings]]:
    """Return the model of each provider's [provider] table, by provider name."""
    return {name: kind.settings for name, kind in PROVIDERS.items()}
