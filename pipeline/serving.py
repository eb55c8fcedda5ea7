"""The one door from the command line to the embedded service: its options as its config."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import cast, get_args

from pydantic import SecretStr

from pipeline.errors import ConfigError
from pipeline.service.app import AppConfig
from pipeline.service.findings import CatalogueConfig, Format
from pipeline.service.limits import Allowance, ApiKey
from pipeline.service.serve import ServeConfig, serve

__all__ = ["serve", "serve_config"]


def serve_config(
    *,
    catalogue: str,
    form: str,
    root: Path | None,
    columns: Iterable[str],
    index: Path,
    host: str,
    port: int,
    qps: float,
    monthly_quota: int,
    key_env: str,
    journal: Path | None,
    faults: bool,
    with_parent: bool,
) -> ServeConfig:
    """Return the config of `serve` from its options; raises ConfigError where one is wrong."""
    allowance = Allowance(qps=qps, per_month=monthly_quota)
    keys = (ApiKey(secret=_key(key_env), allowance=allowance),) if key_env else ()
    return ServeConfig(
        catalogue=CatalogueConfig(
            path=Path(catalogue), format=_format(form), root=root, columns=dict(map(_column, columns))
        ),
        index_dir=index,
        host=host,
        port=port,
        app=AppConfig(keys=keys, allowance=allowance, journal=journal, faults=faults),
        with_parent=with_parent,
    )


def _format(name: str) -> Format:
    if name not in get_args(Format):
        raise ConfigError("--format", [f"{name!r} is none of {', '.join(get_args(Format))}"])
    return cast("Format", name)


def _key(name: str) -> SecretStr:
    value = os.environ.get(name, "").strip()
    if not value:
        raise ConfigError("--key-env", [f"the environment variable {name} is not set; export it"])
    return SecretStr(value)


def _column(text: str) -> tuple[str, str]:
    field, equals, column = text.partition("=")
    if not (field and equals and column):
        raise ConfigError("--column", [f"{text!r}: write it as field=column, such as title=name"])
    return field, column
