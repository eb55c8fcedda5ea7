"""Chooses the pacer that `limits.pacer` names: for this process, this machine, or many."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from pipeline.errors import ConfigError
from pipeline.fetch.pacing.file_pacer import file_pacer
from pipeline.fetch.pacing.pacer import Pacer, ProcessPacer
from pipeline.fetch.policy import RateLimit
from pipeline.fetch.quota import account, state_folder


@asynccontextmanager
async def open_pacer(
    kind: str, endpoint: str, key: SecretStr | None, limits: RateLimit, *, folder: Path | None = None
) -> AsyncIterator[Pacer]:
    """Open the pacer of one key at one endpoint; raises ConfigError where it can't be had.

    `kind` is "file" (all processes of this user, state in `folder`, default: the user's state folder), "process", or
    the URL of a Redis. Without a key there is nothing to share: then it is always the process's own.
    """
    if key is None or kind == "process":
        yield ProcessPacer(limits)
    elif kind == "file":
        async with file_pacer((folder or state_folder()) / "pace" / key_name(endpoint, key), limits) as shared:
            yield shared
    else:
        async with _redis(kind, key_name(endpoint, key), limits) as far:
            yield far


def key_name(endpoint: str, key: SecretStr) -> str:
    """Return a name for a key at an endpoint, from which the key can't be told."""
    return account(key.get_secret_value(), endpoint)


@asynccontextmanager
async def _redis(url: str, name: str, limits: RateLimit) -> AsyncIterator[Pacer]:
    try:
        from pipeline.fetch.pacing.redis_pacer import redis_pacer  # noqa: PLC0415 - the package is an extra
    except ModuleNotFoundError as exc:
        way_out = "install image-insights-pipeline[redis]"
        raise ConfigError("limits.pacer", [f"a Redis pacer needs the package {exc.name}; {way_out}"]) from exc
    async with redis_pacer(url, name, limits) as pacer:
        yield pacer
