"""The tables of `serve`'s config as frozen values (docs/serve.md says what each key means)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator

from pipeline.config.models import Delimiter, Encoding, ModelSettings, Names, Separator
from pipeline.config.section import Section
from pipeline.config.values import Count, Duration, Text, check_base_url, check_variable

Rate = Annotated[float, Field(ge=0, le=10_000)]
Column = Text | None


class CatalogueColumns(Section):
    """[catalogue.columns]: the columns that hold a row's fields, where they have other names."""

    id: Names | None = None
    image: Column = None
    title: Column = None
    description: Column = None
    page_url: Column = None
    content_url: Column = None
    seller: Column = None
    seller_image_url: Column = None
    price: Column = None
    currency: Column = None
    availability: Column = None
    rating: Column = None
    rating_best: Column = None
    reviews: Column = None
    updated: Column = None
    tags: Column = None
    category: Column = None
    published: Column = None
    creator: Column = None
    cook_time: Column = None
    prep_time: Column = None
    total_time: Column = None
    license: Column = None
    adult: Column = None


class CatalogueSettings(Section):
    """[catalogue]: what the answers are made from."""

    path: Text
    format: Literal["auto", "csv", "tsv", "jsonl", "txt", "parquet", "folder"] = "auto"
    delimiter: Delimiter = "auto"
    encoding: Encoding = "auto"
    root: Text | None = None
    columns: CatalogueColumns = CatalogueColumns()
    split: Separator = ""
    skip_without_image: bool = False


class ServiceSettings(Section):
    """[service]: where it listens, what it keeps, how much it does at once."""

    index: Text = "out/index"
    watch: Duration = 30.0
    host: Text = "127.0.0.1"
    port: int = Field(default=8077, ge=0, le=65_535)
    base_url: Annotated[str, AfterValidator(check_base_url)] = ""
    https_only: bool = False
    workers: int = Field(default=1, ge=0, le=256)
    most_in_work: int = Field(default=256, ge=1, le=100_000)
    most_connections: int = Field(default=512, ge=4, le=60_000)
    access_log: bool = False
    query_log: Text | None = None
    journal: Text | None = None
    text: bool = True
    fetch_urls: bool = False


class AllowanceSettings(Section):
    """[allowance]: how much one key may ask that says nothing else, or everyone where there are no keys."""

    qps: Rate = 0.0
    per_month: Count = 0


class KeySettings(Section):
    """[[keys]]: one key that the service knows; the key itself stands in the environment alone."""

    key_env: Annotated[str, AfterValidator(check_variable)]
    qps: Rate | None = None
    per_month: Count | None = None
    state: Literal["active", "disabled", "expired"] = "active"


class ServiceConfig(Section):
    """The whole config of the service."""

    key_place: ClassVar[str] = "key_env of [[keys]]"

    catalogue: CatalogueSettings
    model: ModelSettings | None = None
    service: ServiceSettings = ServiceSettings()
    allowance: AllowanceSettings = AllowanceSettings()
    keys: tuple[KeySettings, ...] = ()

    @field_validator("keys")
    @classmethod
    def _each_once(cls, value: tuple[KeySettings, ...]) -> tuple[KeySettings, ...]:
        names = [key.key_env for key in value]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"names {min(twice)} more than once; a key has one entry")
        return value
