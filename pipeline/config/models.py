"""The tables of the config as frozen values (docs/config.md says what each key means)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Generic, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, ValidationInfo, field_validator
from typing_extensions import TypeVar

from pipeline.config.alerts import AlertSettings
from pipeline.config.output import OutputConfig
from pipeline.config.prepare import PrepareConfig
from pipeline.config.section import Section
from pipeline.config.values import (
    Count,
    Duration,
    Text,
    TimeOfDay,
    Wait,
    check_delimiter,
    check_encoding,
    check_endpoint,
    check_pacer,
    check_separator,
    check_text,
    check_variable,
)

_MOST_ID_COLUMNS = 10
Money = Annotated[float, Field(ge=0, le=1e9)]
COST_CAPS = ("max_cost", "cost_per_day", "cost_per_month", "cost_in_all")
Channels = tuple[float, float, float]
Spread = Annotated[float, Field(gt=0)]
Delimiter = Annotated[str, AfterValidator(check_delimiter)]
Separator = Annotated[str, AfterValidator(check_separator), Field(max_length=10)]
Encoding = Annotated[str, AfterValidator(check_encoding), Field(max_length=40)]


def _names(value: object) -> object:
    """Return the columns that an id is composed of: one, or several in a list."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, tuple) or not 0 < len(names) <= _MOST_ID_COLUMNS:
        raise ValueError(f'must be a column, or a list of 1 to {_MOST_ID_COLUMNS} such as ["Handle", "Image Position"]')
    return names


Names = Annotated[tuple[Text, ...], BeforeValidator(_names)]


class Columns(Section):
    """Which columns of the manifest hold what."""

    id: Names = ("id",)
    image: Text = "image"
    crop: Text = "crop"
    query: Text = "query"
    site: Text = "site"
    market: Text = "market"

    def names(self) -> dict[str, tuple[str, ...]]:
        """Return the names of columns by what they hold: one, but for an id that is composed of several."""
        values = self.model_dump().items()
        return {kind: (value,) if isinstance(value, str) else value for kind, value in values}


class SearchSettings(Section):
    """[manifest] search: `count` images at most, from `offset` on; the provider's own model adds its filters."""

    q: Text
    count: int = Field(default=35, ge=1, le=65_535)
    offset: int = Field(default=0, ge=0, le=65_535)


Q = TypeVar("Q", bound=SearchSettings, default=SearchSettings)


# Keys of [manifest] that say how a path is read.
_KEYS_OF_PATH = frozenset(
    {"format", "delimiter", "encoding", "root", "columns", "carry", "split", "skip_without_image", "min_rows"}
)


class ManifestConfig(Section, Generic[Q]):
    """[manifest]: where the rows come from: a file, a search for images, or the images that are trending."""

    path: Text = Field(default="", validate_default=False)
    search: Q | None = None
    trending: bool = False
    format: Literal["auto", "csv", "tsv", "jsonl", "txt", "parquet", "zip", "tar", "folder"] = "auto"
    delimiter: Delimiter = "auto"
    encoding: Encoding = "auto"
    root: Text | None = None
    columns: Columns = Columns()
    carry: tuple[Text, ...] = Field(default=(), max_length=1000)
    split: Separator = ""
    skip_without_image: bool = False
    min_rows: Count = 0


class ProviderSettings(Section):
    """[provider]: what every provider has; its own folder adds the rest. `search_model` reads manifest.search."""

    search_model: ClassVar[type[SearchSettings]] = SearchSettings
    # Keys that can change no answer: when they change, nothing is sent again.
    keys_without_effect: ClassVar[frozenset[str]] = frozenset({"endpoint", "key_env", "key_file"})
    # Whether the key may be a JSON document, such as that of a service account.
    key_may_be_json: ClassVar[bool] = False
    # What the service limits by the minute beside calls.
    counts: ClassVar[Literal["", "tokens", "units"]] = ""

    name: Text
    endpoint: str = Field(default="", max_length=2048)
    key_env: str = ""
    key_file: str = Field(default="", max_length=4096)

    @property
    def identity(self) -> str:
        """Who calls, where that is known without a key of the config's; empty where a key says it."""
        return ""

    @property
    def has_prices(self) -> bool:
        """True where the provider says what each call costs."""
        return False

    @property
    def attributes_schema(self) -> dict[str, Any] | None:
        """The JSON Schema of a record's `attributes`; None where there are none."""
        return None

    @field_validator("endpoint")
    @classmethod
    def _safe_endpoint(cls, value: str) -> str:
        return check_endpoint(value) if value else value

    @field_validator("key_env")
    @classmethod
    def _variable(cls, value: str) -> str:
        return check_variable(value) if value else value

    @field_validator("key_file")
    @classmethod
    def _file(cls, value: str) -> str:
        return check_text(value) if value else value


class ModelSettings(Section):
    """The user's own ONNX model that embeds pictures, and how it wants them: what `serve` and [provider] local take."""

    path: Text
    size_px: int = Field(default=224, ge=16, le=2048)
    mean: Channels = (0.0, 0.0, 0.0)
    std: tuple[Spread, Spread, Spread] = (1.0, 1.0, 1.0)
    channels: Literal["RGB", "BGR"] = "RGB"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    resize: Literal["squash", "crop", "pad"] = "squash"
    output: str = Field(default="", max_length=4096)
    alike_from: float = Field(default=0.5, gt=0, le=1)


class EmbeddedSettings(Section):
    """What the embedded service is to know: part of the [provider] table of every provider that it answers for."""

    catalogue: str = ""
    model: ModelSettings | None = None
    text: bool = True


class LimitsConfig(Section):
    """[limits]: how fast, how much, how long; 0 means no limit of ours."""

    qps: float = Field(default=3.0, ge=0, le=10_000)
    concurrency: int = Field(default=0, ge=0, le=1000)
    guard: float = Field(default=0.003, ge=0, le=0.25)
    tokens_per_minute: Count = 0
    units_per_minute: Count = 0
    pacer: Annotated[str, AfterValidator(check_pacer)] = "file"
    calls_per_run: Count = 0
    calls_per_day: Count = 0
    calls_per_month: Count = 0
    cost_per_1000_calls: Money = 0.0
    max_cost: Money = 0.0
    cost_per_day: Money = 0.0
    cost_per_month: Money = 0.0
    cost_in_all: Money = 0.0
    max_runtime: Duration = 0.0
    stop_at: TimeOfDay = None

    @property
    def cost_caps(self) -> dict[str, float]:
        """The caps on cost that are set, by their keys."""
        caps = {name: getattr(self, name) for name in COST_CAPS}
        return {name: cap for name, cap in caps.items() if cap}

    @field_validator(*COST_CAPS)
    @classmethod
    def _pays_for_a_call(cls, value: float, info: ValidationInfo) -> float:
        price = info.data.get("cost_per_1000_calls", 0.0) / 1000
        if 0 < value < price:
            raise ValueError(f"pays for no call at {price:g} each")
        return value


class RetryConfig(Section):
    """[retry]: how a transient fault is tried again."""

    attempts: int = Field(default=5, ge=1, le=100)
    first_wait: Wait = 0.5
    max_wait: Wait = 60.0
    request_timeout: Wait = 60.0
    row_timeout: Wait = 600.0


P = TypeVar("P", bound=ProviderSettings, default=ProviderSettings)


class Config(Section, Generic[P, Q]):
    """The whole config of one job, with the tables that its provider brings: `P` for [provider], `Q` for a search."""

    manifest: ManifestConfig[Q]
    prepare: PrepareConfig = PrepareConfig()
    provider: P
    limits: LimitsConfig = LimitsConfig()
    retry: RetryConfig = RetryConfig()
    output: OutputConfig
    alerts: tuple[AlertSettings, ...] = Field(default=(), max_length=100)
    _path: str = PrivateAttr("")

    @property
    def path(self) -> str:
        """The path of the file that it was read from, for commands that a message shows; empty where it is unknown."""
        return self._path

    def read_from(self, path: str) -> Self:
        """Note the path of the file that it was read from."""
        self._path = path
        return self

    @field_validator("limits")
    @classmethod
    def _has_one_price(cls, value: LimitsConfig, info: ValidationInfo) -> LimitsConfig:
        provider = info.data.get("provider")
        if value.cost_per_1000_calls and provider and provider.has_prices:
            raise ValueError(
                f"cost_per_1000_calls has no effect: {provider.name} knows its prices; see provider.prices"
            )
        if value.cost_caps and not value.cost_per_1000_calls and provider and not provider.has_prices:
            way = "provider.prices" if "prices" in type(provider).model_fields else "cost_per_1000_calls"
            raise ValueError(f"{next(iter(value.cost_caps))} needs {way}, or it could not be kept")
        return value

    @field_validator("limits")
    @classmethod
    def _counts_what_is_limited(cls, value: LimitsConfig, info: ValidationInfo) -> LimitsConfig:
        provider = info.data.get("provider")
        for amount in ("tokens", "units"):
            key = f"{amount}_per_minute"
            if getattr(value, key) and provider and provider.counts != amount:
                raise ValueError(f"the provider {provider.name!r} counts no {amount}; leave {key} out")
        return value

    @field_validator("manifest")
    @classmethod
    def _one_source(cls, value: ManifestConfig[Q]) -> ManifestConfig[Q]:
        given = [name for name in ("path", "search", "trending") if getattr(value, name)]
        if len(given) != 1:
            raise ValueError(f"needs one of path, search and trending (it has {' and '.join(given) or 'none'})")
        unused = value.model_fields_set & _KEYS_OF_PATH
        if unused and given != ["path"]:
            raise ValueError(f"{', '.join(sorted(unused))} belongs to path, not to {given[0]}; leave it out")
        return value
