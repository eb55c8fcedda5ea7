"""Reads a config: the TOML file, what `--set` changes in it, and every problem of both."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError, create_model
from pydantic_core import ErrorDetails

from pipeline.config.explain import explain, no_such_provider
from pipeline.config.models import Config, ProviderSettings, SearchSettings
from pipeline.config.service import ServiceConfig
from pipeline.errors import ConfigError

Table = dict[str, Any]
S = TypeVar("S", bound=BaseModel)


def load_config(
    path: str | Path,
    overrides: Iterable[str] = (),
    *,
    providers: Mapping[str, type[ProviderSettings]],
    forced: Mapping[str, object] | None = None,
) -> Config:
    """Read, override (`key.path=value`) and validate a config; raises ConfigError with every problem.

    `providers` maps a provider's name to the model of its table, so that a new provider brings its own keys;
    `forced` are values, by key path, that stand whatever the file says.
    """
    table, problems = _merged(Path(path), overrides, forced or {})
    model, unknown = _config_model(table, providers)
    try:
        config = model.model_validate(_tuples(table), strict=True)
    except ValidationError as exc:
        errors = [error for error in exc.errors(include_url=False) if not (unknown and _is_about_the_name(error))]
        problems += explain(errors, model)
    if problems or unknown:
        raise ConfigError(str(path), problems + unknown)
    return config.read_from(str(path))


def load_service_config(
    path: str | Path | None, overrides: Iterable[str] = (), *, forced: Mapping[str, object]
) -> ServiceConfig:
    """Read, override and validate the config of `serve`; raises ConfigError with every problem.

    Without a `path` the config is what `overrides` and `forced`, the command's own options by key path, say.
    """
    table, problems = _merged(None if path is None else Path(path), overrides, forced)
    try:
        config = ServiceConfig.model_validate(_tuples(table), strict=True)
    except ValidationError as exc:
        problems += explain(exc.errors(include_url=False), ServiceConfig)
    if problems:
        raise ConfigError("serve" if path is None else str(path), problems)
    return config


def _merged(path: Path | None, overrides: Iterable[str], forced: Mapping[str, object]) -> tuple[Table, list[str]]:
    """Return the file's table as `overrides` and then `forced` change it, and what is wrong with the overrides."""
    table = {} if path is None else _read(path)
    problems = [problem for override in overrides if (problem := _override(table, override))]
    for key, value in forced.items():
        _assign(table, key.split("."), value)
    return table, problems


def _read(path: Path) -> Table:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as exc:
        raise ConfigError(str(path), [f"can't be read ({exc.strerror}); give the path of a TOML config"]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(str(path), ["is not UTF-8; save it as UTF-8"]) from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(str(path), [f"is not valid TOML: {exc}"]) from exc


def _override(table: Table, text: str) -> str | None:
    """Change one value; return the problem where that can't be done. The value is never shown: it may be a key."""
    key, equals, raw = text.partition("=")
    keys = [part.strip() for part in key.split(".")]
    if not equals or not all(keys):
        return "--set: write it as key.path=value, such as limits.qps=10"
    if not _assign(table, keys, _value(raw.strip())):
        return f"--set {key.strip()}: lies inside a value that is no table"
    return None


def _value(raw: str) -> object:
    """Read a value as TOML does; what is no TOML is text without its quotes."""
    try:
        table = tomllib.loads(f"value = {raw}")
    except tomllib.TOMLDecodeError:
        return raw
    return table["value"] if len(table) == 1 else raw


def _assign(table: Table, keys: list[str], value: object) -> bool:
    for key in keys[:-1]:
        inner: object = table.setdefault(key, {})
        if not isinstance(inner, dict):
            return False
        table = inner
    table[keys[-1]] = value
    return True


def _config_model(table: Table, providers: Mapping[str, type[ProviderSettings]]) -> tuple[type[Config], list[str]]:
    """Return the model of the whole config, with the provider's own tables in it, and what is wrong with its name.

    Where there is no such provider, the one with the most similar name stands in, so that no other fault is hidden;
    where none is similar, every key that some provider has is accepted as it is.
    """
    provider = table.get("provider", {})
    if not isinstance(provider, dict):
        return Config, []
    name = provider.get("name")
    if isinstance(name, str) and name in providers:
        return _with_tables(providers[name], providers[name].search_model), []
    close = get_close_matches(name, providers, n=1) if isinstance(name, str) else []
    if close:
        model = _with_tables(providers[close[0]], providers[close[0]].search_model)
    else:
        searches = [kind.search_model for kind in providers.values()]
        model = _with_tables(_any_of(ProviderSettings, providers.values()), _any_of(SearchSettings, searches))
    return model, [no_such_provider(name, providers)]


def _with_tables(provider: type[ProviderSettings], search: type[SearchSettings]) -> type[Config]:
    return cast("type[Config]", Config.__class_getitem__((provider, search)))


def _any_of(base: type[S], models: Iterable[type[S]]) -> type[S]:
    """Return a model that accepts the keys of all `models`, whatever their values, beside those of `base`."""
    names = {name for model in models for name in model.model_fields} - base.model_fields.keys()
    fields: dict[str, Any] = dict.fromkeys(names, (Any, None))
    return create_model(base.__name__, __base__=base, **fields)


def _is_about_the_name(error: ErrorDetails) -> bool:
    """Return True for what a missing or unknown provider name causes, which is reported by itself."""
    return error["loc"] == ("provider", "name") or (error["loc"] == ("provider",) and error["type"] == "missing")


def _tuples(value: object) -> object:
    """Turn TOML's lists into tuples, the form that frozen values keep."""
    if isinstance(value, dict):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
