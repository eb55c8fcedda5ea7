"""Reads a config: the TOML file, what `--set` changes in it, and every problem of both."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.config.explain import explain, no_such_provider
from pipeline.config.models import Config, ProviderSettings, SearchSettings
from pipeline.config.service import ServiceConfig
from pipeline.errors import ConfigError

_STAND_IN = ProviderSettings(name="-")
_STAND_IN_SEARCH = SearchSettings(q="-")

Table = dict[str, Any]


def load_config(
    path: str | Path,
    overrides: Iterable[str] = (),
    *,
    providers: Mapping[str, type[ProviderSettings]],
    forced: Mapping[str, object] | None = None,
) -> Config:
    """Read, override (`key.path=value`) and validate a config; raises ConfigError with every problem found.

    `providers` maps a provider's name to the model of its table, so that a new provider brings its own keys;
    `forced` are values, by key path, that stand whatever the file says.
    """
    table, problems = _merged(Path(path), overrides, forced or {})
    settings, found = _provider(table.get("provider", {}), providers)
    problems += found + _search(table, providers)
    try:
        config = Config.model_validate(_tuples({**table, "provider": settings or _STAND_IN}), strict=True)
    except ValidationError as exc:
        problems += explain(exc, Config, "")
    if problems:
        raise ConfigError(str(path), problems)
    return config


def load_service_config(
    path: str | Path | None, overrides: Iterable[str] = (), *, forced: Mapping[str, object]
) -> ServiceConfig:
    """Read, override and validate the config of `serve`; raises ConfigError with every problem found.

    Without a `path` the config is what `overrides` and `forced`, the command's own options by key path, say.
    """
    table, problems = _merged(None if path is None else Path(path), overrides, forced)
    try:
        config = ServiceConfig.model_validate(_tuples(table), strict=True)
    except ValidationError as exc:
        problems += explain(exc, ServiceConfig, "")
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


def _provider(
    table: object, providers: Mapping[str, type[ProviderSettings]]
) -> tuple[ProviderSettings | None, list[str]]:
    """Validate the [provider] table by the model that its name asks for."""
    name = table.get("name") if isinstance(table, dict) else None
    if isinstance(table, dict) and name not in providers:
        return None, [no_such_provider(name, providers)]
    model = providers[name] if isinstance(name, str) else ProviderSettings
    try:
        return model.model_validate(_tuples(table), strict=True), []
    except ValidationError as exc:
        return None, explain(exc, model, "provider")


def _search(table: Table, providers: Mapping[str, type[ProviderSettings]]) -> list[str]:
    """Validate the table manifest.search in its place, by the model that goes with the provider."""
    manifest, provider = table.get("manifest"), table.get("provider")
    if not isinstance(manifest, dict) or not isinstance(asked := manifest.get("search"), dict):
        return []
    manifest["search"] = _STAND_IN_SEARCH
    kind = providers.get(str(provider.get("name"))) if isinstance(provider, dict) else None
    if kind is None:
        return []
    try:
        manifest["search"] = kind.search_model.model_validate(_tuples(asked), strict=True)
    except ValidationError as exc:
        return explain(exc, kind.search_model, "manifest.search")
    return []


def _tuples(value: object) -> object:
    """Turn TOML's lists into tuples, the form that frozen values keep."""
    if isinstance(value, dict):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
