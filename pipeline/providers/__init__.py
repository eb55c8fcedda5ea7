"""How one insight API is asked and understood; pure functions, no I/O. A new API is a folder and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.config import ProviderSettings
from pipeline.providers.base import Provider
from pipeline.providers.bing.provider import make_bing, make_local
from pipeline.providers.bing.settings import BingSettings, LocalSettings
from pipeline.providers.google.provider import make_google
from pipeline.providers.google.settings import GoogleSettings
from pipeline.providers.lens.provider import make_lens
from pipeline.providers.lens.settings import LensSettings
from pipeline.providers.openai.provider import make_openai
from pipeline.providers.openai.settings import OpenAISettings

S = TypeVar("S", bound=ProviderSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKind(Generic[S]):
    """One insight API: the model of its [provider] table, and what builds a provider from it and an endpoint."""

    settings: type[S]
    build: Callable[[S, str], Provider]

    def make(self, settings: ProviderSettings, endpoint: str = "") -> Provider:
        """Build the provider; `endpoint`, where given, takes the place of the settings' own."""
        if not isinstance(settings, self.settings):
            raise TypeError(f"{type(settings).__name__} is not the table of this provider")
        return self.build(settings, endpoint or settings.endpoint)


PROVIDERS: dict[str, ProviderKind[ProviderSettings]] = {}


def register(name: str, kind: ProviderKind[S]) -> None:
    """Make a provider known under the name that configs give it."""
    PROVIDERS[name] = kind  # type: ignore[assignment] # make() checks that each table goes to its own provider


register("bing", ProviderKind(settings=BingSettings, build=make_bing))
register("google", ProviderKind(settings=GoogleSettings, build=make_google))
register("lens", ProviderKind(settings=LensSettings, build=make_lens))
register("local", ProviderKind(settings=LocalSettings, build=make_local))
register("openai", ProviderKind(settings=OpenAISettings, build=make_openai))


def settings_models() -> dict[str, type[ProviderSettings]]:
    """Return the model of each provider's [provider] table, by provider name."""
    return {name: kind.settings for name, kind in PROVIDERS.items()}
