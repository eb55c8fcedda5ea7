"""The one door from the command line to the embedded service: its config file and options as the service's config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from pydantic import SecretStr

from pipeline.config import ModelSettings, ServiceConfig, load_service_config, read_keys
from pipeline.config.service import AllowanceSettings, CatalogueSettings, KeySettings
from pipeline.downloads.addresses import AddressRules
from pipeline.errors import ConfigError
from pipeline.service.access.authenticator import Allowance, ApiKey
from pipeline.service.findings import CatalogueConfig, ModelConfig
from pipeline.service.http.app import AppConfig
from pipeline.service.server import ServeConfig, serve
from pipeline.tabular.location import is_cloud, local_path

__all__ = ["read_config", "serve", "serve_config"]


def read_config(
    path: Path | None,
    sets: Iterable[str],
    *,
    columns: Iterable[str] = (),
    key_env: str | None = None,
    options: Mapping[str, object] = MappingProxyType({}),
) -> ServiceConfig:
    """Return the config that the file, `--set` and the command's options say together, the later the stronger.

    `options` are values by key path; those that are None weren't given. Raises ConfigError.
    """
    forced = {key: value for key, value in options.items() if value is not None}
    forced |= {f"catalogue.columns.{field}": column for field, column in map(_column, columns)}
    forced |= {"keys": [{"key_env": key_env}]} if key_env else {}
    return load_service_config(path, sets, forced=forced)


def serve_config(config: ServiceConfig, *, faults: bool = False, with_parent: bool = False) -> ServeConfig:
    """Return the service's own config; raises ConfigError where a key is not in the environment."""
    place = config.service
    return ServeConfig(
        catalogue=_catalogue(config.catalogue),
        index_dir=Path(place.index),
        model=_model(config.model),
        watch=place.watch,
        host=place.host,
        port=place.port,
        most_connections=place.most_connections,
        app=AppConfig(
            keys=tuple(_keys(config.keys, config.allowance)),
            allowance=Allowance(qps=config.allowance.qps, per_month=config.allowance.per_month),
            workers=place.workers,
            most_in_work=place.most_in_work,
            base_url=place.base_url or None,
            journal=_path(place.journal),
            text=place.text,
            fetch_from=AddressRules() if place.fetch_urls else None,
            query_log=_path(place.query_log),
            https_only=place.https_only,
            faults=faults,
        ),
        with_parent=with_parent,
        access_log=place.access_log,
    )


def _catalogue(settings: CatalogueSettings) -> CatalogueConfig:
    if is_cloud(settings.path):
        problem = f"the service can't read {settings.path}; copy the catalogue to this machine"
        raise ConfigError("catalogue.path", [problem])
    columns: Mapping[str, str] = settings.columns.model_dump(exclude_none=True, exclude={"id"})
    return CatalogueConfig(
        path=Path(local_path(settings.path)),
        format=settings.format,
        delimiter=settings.delimiter,
        encoding=settings.encoding,
        root=_path(settings.root),
        columns=columns,
        ids=settings.columns.id or (),
        split=settings.split,
        skip_without_image=settings.skip_without_image,
    )


def _model(settings: ModelSettings | None) -> ModelConfig | None:
    return ModelConfig(**{**settings.model_dump(), "path": Path(settings.path)}) if settings else None


def _keys(keys: Iterable[KeySettings], default: AllowanceSettings) -> Iterable[ApiKey]:
    settings = tuple(keys)
    secrets: tuple[SecretStr, ...] = read_keys([key.key_env for key in settings])
    for key, secret in zip(settings, secrets, strict=True):
        allowance = Allowance(
            qps=default.qps if key.qps is None else key.qps,
            per_month=default.per_month if key.per_month is None else key.per_month,
        )
        yield ApiKey(secret=secret, allowance=allowance, state=key.state)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _column(text: str) -> tuple[str, str]:
    field, equals, column = text.partition("=")
    if not (field and equals and column):
        raise ConfigError("--column", [f"{text!r}: write it as field=column, such as title=name"])
    return field, column
