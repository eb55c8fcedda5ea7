"""The [provider] table for models that speak OpenAI's Chat Completions protocol."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from pipeline.config import ProviderSettings, Section
from pipeline.config.text_files import TextOfFile
from pipeline.config.values import Text, check_header_name
from pipeline.providers.openai.fields import Fields, check_schema, schema_of_fields
from pipeline.providers.openai.tokens import Prices, listed_prices

Feature = Literal["caption", "tags", "text", "best_query", "safety"]
Price = Annotated[float, Field(ge=0, le=1e6)]
# What the provider says itself in each call.
_OWN_PARAMETERS: Final = frozenset(
    {"model", "messages", "response_format", "stream", "n", "max_tokens", "max_completion_tokens", "tools", "functions"}
)
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


class PriceSettings(Section):
    """[provider.prices]: what a million tokens cost."""

    input: Price
    output: Price
    currency: str = "USD"

    @field_validator("currency")
    @classmethod
    def _code(cls, value: str) -> str:
        if not _CURRENCY.fullmatch(value):
            raise ValueError('must be the code of a currency such as "USD"')
        return value


class OpenAISettings(ProviderSettings):
    """A model, what it is asked, and where it runs."""

    counts = "tokens"
    keys_without_effect: ClassVar[frozenset[str]] = ProviderSettings.keys_without_effect | {
        "key_header",
        "prices",
        "picture_tokens",
    }

    endpoint: str = "https://api.openai.com/v1"
    key_env: str = "OPENAI_API_KEY"
    key_header: Annotated[str, AfterValidator(check_header_name)] = "Authorization"
    model: Text
    features: tuple[Feature, ...] = ("caption", "tags", "text", "best_query", "safety")
    fields: Fields = Field(default_factory=dict)
    fields_file: Annotated[TextOfFile, AfterValidator(check_schema)] = ""
    prompt: str = Field(default="", max_length=100_000)
    prompt_file: TextOfFile = ""
    detail: Literal["auto", "low", "high", "original"] = "auto"
    max_tokens: int = Field(default=800, ge=16, le=1_000_000)
    max_tokens_name: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    parameters: dict[str, Any] = Field(default_factory=dict)
    picture_tokens: int = Field(default=0, ge=0, le=1_000_000)
    prices: PriceSettings | None = None

    @field_validator("fields_file")
    @classmethod
    def _fields_once(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("fields"):
            raise ValueError("excludes fields; give one of them")
        if not (value or info.data.get("fields") or info.data.get("features", True)):
            raise ValueError("or fields is needed where features is empty, or nothing would be asked")
        return value

    @field_validator("prompt_file")
    @classmethod
    def _prompt_once(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("prompt"):
            raise ValueError("excludes prompt; give one of them")
        return value

    @field_validator("parameters")
    @classmethod
    def _not_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        if ours := _OWN_PARAMETERS & value.keys():
            raise ValueError(f"must not hold {min(ours)}: the provider sets it itself")
        return value

    @property
    def token_prices(self) -> Prices | None:
        """What tokens cost: by the config, else as OpenAI lists it for its own models; None where nobody says it."""
        if self.prices is None:
            return listed_prices(self.endpoint, self.model)
        return Prices(tokens_in=self.prices.input, tokens_out=self.prices.output, currency=self.prices.currency)

    @property
    def has_prices(self) -> bool:
        """See ProviderSettings."""
        return self.token_prices is not None

    @property
    def instructions(self) -> str:
        """The user's own words to the model."""
        return self.prompt or self.prompt_file

    @property
    def attributes_schema(self) -> dict[str, Any] | None:
        """The JSON Schema of the answers to the user's own questions."""
        if self.fields_file:
            schema: dict[str, Any] = json.loads(self.fields_file)
            return schema
        return schema_of_fields(self.fields) if self.fields else None
