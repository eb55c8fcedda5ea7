"""Chooses the pacer that `limits.pacer` names: for this process, this machine, or many."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

from platformdirs import user_state_path
from pydantic import SecretStr

from pipeline.errors import ConfigError
from pipeline.fetch.file_pacer import file_pacer
from pipeline.fetch.pacer import Pacer, ProcessPacer
from pipeline.fetch.policy import RateLimit


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
        folder = folder or user_state_path("image-insights-pipeline", appauthor=False)
        async with file_pacer(folder / "pace" / key_name(endpoint, key), limits) as shared:
            yield shared
    else:
        async with _redis(kind, key_name(endpoint, key), limits) as far:
            yield far


def key_name(endpoint: str, key: SecretStr) -> str:
    """Return a name for a key at an endpoint, from which the key can't be told."""
    return sha256(f"{endpoint}\n{key.get_secret_value()}".encode()).hexdigest()[:32]


@asynccontextmanager
async def _redis(url: str, name: str, limits: RateLimit) -> AsyncIterator[Pacer]:
    try:
        from pipeline.fetch.redis_pacer import redis_pacer  # noqa: PLC0415 - the package is an extra
    except ModuleNotFoundError as exc:
        way_out = "install image-insights-pipeline[redis]"
        raise ConfigError("limits.pacer", [f"a Redis pacer needs the package {exc.name}; {way_out}"]) from exc
    async with redis_pacer(url, name, limits) as pacer:
        yield pacer
