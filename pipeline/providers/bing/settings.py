"""The [provider] table for services that speak the Bing v7 protocol; every documented rule is checked here.

Source: Image Search reference.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from pipeline.config import EmbeddedSettings, ProviderSettings, Section
from pipeline.providers.bing import documented_values
from pipeline.providers.bing.documented_values import decimal_text
from pipeline.providers.bing.filters import ImageSearch

_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*(\s*;\s*q=(0(\.\d{1,3})?|1(\.0{1,3})?))?")
_SITE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_MODULE_ALIASES = {"collection": "Collections"}  # the Image Insights guide writes Collection

Number = Annotated[float, Field(allow_inf_nan=False)]


def check_site(value: str) -> str:
    """Return a domain such as www.contoso.com; raises ValueError for anything else.

    Source: Visual Search guide, filters.site.
    """
    if value and not _SITE.fullmatch(value):
        raise ValueError("must be a domain such as www.contoso.com, without scheme and path")
    return value


def _module(value: str) -> str:
    return documented_values.module(_MODULE_ALIASES.get(value.strip().lower(), value))


def _header_text(value: str) -> str:
    if value and not (value.isascii() and value.isprintable()):
        raise ValueError("must be one line of printable ASCII")
    return value


class Location(Section):
    """X-Search-Location: where the client is (Image Search reference, Headers); degrees, metres, metres per second."""

    lat: Annotated[Number, Field(ge=-90, le=90)]
    long: Annotated[Number, Field(ge=-180, le=180)]
    re: Annotated[Number, Field(ge=0)]
    ts: Annotated[int, Field(ge=0)] | None = None
    sp: Annotated[Number, Field(ge=0)] | None = None
    head: Annotated[Number, Field(ge=0, le=360)] | None = None
    alt: Number | None = None
    are: Annotated[Number, Field(ge=0)] | None = None

    @field_validator("head")
    @classmethod
    def _moving(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and not info.data.get("sp"):
            raise ValueError("needs sp that is not zero")
        return value

    @field_validator("are")
    @classmethod
    def _high(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("alt") is None:
            raise ValueError("needs alt")
        return value

    def header(self) -> str:
        """Return the header's value: key:value pairs, with semicolons between them."""
        return ";".join(f"{key}:{decimal_text(value).removesuffix('.0')}" for key, value in self if value is not None)


class QuerySettings(ProviderSettings):
    """How pictures are asked about; shared by every service that speaks the protocol."""

    search_model = ImageSearch

    ask: Literal["visualsearch", "details"] = "visualsearch"
    market: Annotated[str, AfterValidator(documented_values.market)] = ""
    cc: Annotated[str, AfterValidator(documented_values.country)] = ""
    accept_language: tuple[str, ...] = ()
    set_lang: str = ""
    safe_search: Annotated[str, AfterValidator(documented_values.safe_search)] = ""
    accept: Literal["application/json", "application/ld+json"] = "application/json"
    no_cache: bool = False
    user_agent: Annotated[str, AfterValidator(_header_text)] = "image-insights-pipeline"
    client_ip: str = ""
    location: Location | None = None
    site: Annotated[str, AfterValidator(check_site)] = ""
    entity_data: bool = False
    max_similar: int = Field(default=0, ge=0)
    max_products: int = Field(default=0, ge=0)
    count: int = Field(default=0, ge=0, le=150)
    modules: tuple[Annotated[str, AfterValidator(_module)], ...] = ()
    query: str = ""

    def notes(self) -> tuple[str, ...]:
        """Return what `check` says of a market that is not listed."""
        note = documented_values.market_note(self.market)
        return (f"provider.market: {note}",) if note else ()

    @field_validator("cc")
    @classmethod
    def _cc(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("market"):
            raise ValueError("excludes market; give one of them")
        return value

    @field_validator("accept_language")
    @classmethod
    def _accept_language(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if bool(value) != bool(info.data.get("cc")):
            raise ValueError("and cc need each other; give both, or market and set_lang instead")
        for language in value:
            if not _LANGUAGE.fullmatch(language):
                raise ValueError(f'holds {language!r}; write languages as "en-US" or "fr;q=0.5"')
        return value

    @field_validator("set_lang")
    @classmethod
    def _set_lang(cls, value: str, info: ValidationInfo) -> str:
        if value and not re.fullmatch(r"[A-Za-z]{2}", value):
            raise ValueError("must be a language of two letters such as de")
        if value and info.data.get("accept_language"):
            raise ValueError("excludes accept_language; give one of them")
        return value

    @field_validator("client_ip")
    @classmethod
    def _client_ip(cls, value: str) -> str:
        if value:
            try:
                ip_address(value)
            except ValueError:
                raise ValueError("must be an IPv4 or IPv6 address") from None
        return value

    @field_validator("site", "entity_data", "max_similar", "max_products", "count")
    @classmethod
    def _visual_search_only(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get("ask") == "details":
            raise ValueError('belongs to ask = "visualsearch"')
        return value

    @field_validator("modules", "query")
    @classmethod
    def _details_only(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get("ask") == "visualsearch":
            raise ValueError('belongs to ask = "details"')
        return value

    @field_validator("count")
    @classmethod
    def _count(cls, value: int, info: ValidationInfo) -> int:
        if value and not (info.data.get("max_similar") or info.data.get("max_products")):
            raise ValueError("needs max_similar or max_products, whose further pages it sizes")
        return value


class BingSettings(QuerySettings):
    """The Bing service, or any endpoint that speaks its v7 protocol."""

    endpoint: str = "https://api.bing.microsoft.com/v7.0"
    key_env: str = "BING_SEARCH_KEY"
    url_form: Literal["upload", "url"] = "upload"


class LocalSettings(EmbeddedSettings, QuerySettings):
    """The embedded service over a catalogue: by default the job's own manifest."""

    @field_validator("endpoint", "key_env", "key_file")
    @classmethod
    def _embedded(cls, value: str) -> str:
        if value:
            raise ValueError("must not be given: the embedded service runs inside the job and asks for no key")
        return value
