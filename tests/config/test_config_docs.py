"""docs/config.md and docs/serve.md say of every key what the models say: what it takes, what it is by default."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.config import (
    AlertSettings,
    Columns,
    Config,
    HeaderSettings,
    ManifestConfig,
    ModelSettings,
    ProviderSettings,
)
from pipeline.config.service import CatalogueColumns, KeySettings, ServiceConfig
from pipeline.providers import settings_models
from pipeline.providers.bing.filters import ImageSearch
from pipeline.providers.bing.settings import QuerySettings
from pipeline.providers.google.settings import GooglePrices
from pipeline.providers.lens.settings import LensPrices
from pipeline.providers.openai.fields import FieldSettings
from pipeline.providers.openai.settings import PriceSettings

_ROW = re.compile(r"\| `(\w+)` \| ([^|]+) \| (?:`([^`]*)`|[^|]*) \| (.+) \|")
SHARED_BY = {"bing": QuerySettings, "local": QuerySettings}


def _own(model: type[BaseModel], base: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields that a model adds to its base, or gives another default."""
    known = base.model_fields
    return {
        name: field
        for name, field in model.model_fields.items()
        if name not in known or known[name].default != field.default
    }


def _sections(config: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the tables of a config by their names; a provider's own table has what every provider has."""
    kinds = {name: _bound(field.annotation) for name, field in config.model_fields.items()}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}


def _bound(annotation: Any) -> Any:
    """Return a type, for a type variable the one that bounds it."""
    return getattr(annotation, "__bound__", None) or annotation


def _all_sections() -> dict[str, type[BaseModel]]:
    """Return the tables of both configs; a job's [manifest] and [provider] without what a provider adds."""
    job: dict[str, type[BaseModel]] = {**_sections(Config), "manifest": ManifestConfig, "provider": ProviderSettings}
    return {**job, **_sections(ServiceConfig)}


def _tables() -> dict[str, dict[str, FieldInfo]]:
    sections = _all_sections()
    tables = {name: model.model_fields for name, model in sections.items()}
    tables["catalogue.columns"] = CatalogueColumns.model_fields
    tables["alerts"] = AlertSettings.model_fields
    tables["keys"] = KeySettings.model_fields
    tables["model"] = ModelSettings.model_fields
    tables["prepare.headers"] = HeaderSettings.model_fields
    tables["manifest.columns"] = Columns.model_fields
    tables["manifest.search"] = ImageSearch.model_fields
    tables["provider bing and local"] = _own(QuerySettings, ProviderSettings)
    for name, model in settings_models().items():
        tables[f"provider {name}"] = _own(model, SHARED_BY.get(name, ProviderSettings))
    tables["provider.fields"] = FieldSettings.model_fields
    tables["provider.prices openai"] = PriceSettings.model_fields
    tables["provider.prices google"] = GooglePrices.model_fields
    tables["provider.prices lens"] = LensPrices.model_fields
    return tables


def _documented(text: str) -> dict[str, dict[str, tuple[str, str | None, str]]]:
    """Return type, default and meaning by table and key."""
    tables: dict[str, dict[str, tuple[str, str | None, str]]] = {}
    for section in text.split("\n## ")[1:]:
        heading = section.splitlines()[0].replace("[", "").replace("]", "")
        rows = _ROW.findall(section)
        tables[heading] = {key: (kind, default or None, meaning) for key, kind, default, meaning in rows}
    return {heading: rows for heading, rows in tables.items() if rows}


@pytest.fixture(scope="module")
def documented(project: Path) -> dict[str, dict[str, tuple[str, str | None, str]]]:
    """Read the tables of both documents."""
    texts = [(project / "docs" / name).read_text(encoding="utf-8") for name in ("config.md", "serve.md")]
    return _documented("\n".join(texts))


_KINDS_BY_READER = {
    "parse_duration": "duration",
    "parse_age": "duration",
    "parse_time": "time",
    "_share": "count or share",
    "_names": "text or list",
}
_KINDS = {dict: "table", str: "text", bool: "true or false", int: "whole number", float: "number", tuple: "list"}


def _kind(field: FieldInfo) -> str:
    """Name the type of a key as the document does."""
    inner = [mark for part in get_args(field.annotation) for mark in getattr(part, "__metadata__", ())]
    readers = [getattr(getattr(mark, "func", None), "__name__", "") for mark in [*field.metadata, *inner]]
    for reader in readers:
        if reader in _KINDS_BY_READER:
            return _KINDS_BY_READER[reader]
    for part in map(_bound, _parts(field.annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return "table"
        if part in _KINDS:
            return _KINDS[part]
    return "one of"


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield a type, what it is made from, and the types it is a union of; the choices of a Literal are no types."""
    if isinstance(annotation, TypeVar):  # a table that the provider brings
        annotation = annotation.__bound__
    yield annotation
    yield get_origin(annotation)
    if get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _parts(part)


def test_every_key_is_documented_and_no_other(
    documented: dict[str, dict[str, tuple[str, str | None, str]]],
) -> None:
    """The document has the tables and keys of the models, in their order."""
    assert {name: list(rows) for name, rows in documented.items()} == {
        name: list(fields) for name, fields in _tables().items()
    }


@pytest.mark.parametrize(("table", "key"), [(table, key) for table, fields in _tables().items() for key in fields])
def test_type_and_default_are_what_the_document_says(
    documented: dict[str, dict[str, tuple[str, str | None, str]]], table: str, key: str
) -> None:
    """A documented default, read as TOML, is the key's own; alternatives are all named."""
    field = _tables()[table][key]
    kind, default, meaning = documented[table][key]
    assert kind == _kind(field)
    if kind == "one of":
        assert all(f'"{choice}"' in meaning for choice in get_args(field.annotation))
    if default is not None:
        value = tomllib.loads(f"value = {default}")["value"]
        model = next(model for model in _models() if model.model_fields.get(key) is field)
        assert getattr(model.model_construct(), key) == _read(model, key, value)
    else:
        assert field.is_required() or not field.default or kind == "table"


def _models() -> list[type[BaseModel]]:
    return [
        *_all_sections().values(),
        CatalogueColumns,
        AlertSettings,
        KeySettings,
        ModelSettings,
        HeaderSettings,
        Columns,
        ImageSearch,
        QuerySettings,
        FieldSettings,
        PriceSettings,
        GooglePrices,
        LensPrices,
        *settings_models().values(),
    ]


# What a table needs beside one key, where that is more than any text.
_NEEDED: dict[type[BaseModel], dict[str, object]] = {
    AlertSettings: {"when": "new page", "command": ("true",), "exit_code": 20}
}


def _read(model: type[BaseModel], key: str, value: object) -> object:
    """Validate one value as the key's own."""
    required = {name: field for name, field in model.model_fields.items() if field.is_required()}
    needed = {name: 1.0 if _kind(field) == "number" else "x" for name, field in required.items()}
    return getattr(model.model_validate({**needed, **_NEEDED.get(model, {}), key: value}), key)
