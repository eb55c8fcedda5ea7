"""Which service stands behind a provider: one that runs already, or the embedded one, which a run starts for itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import anyio

from pipeline.config import Config, EmbeddedSettings
from pipeline.errors import PipelineError
from pipeline.local.embedded import command_of, reads_text, resolved
from pipeline.local.process import EmbeddedService
from pipeline.providers import PROVIDERS
from pipeline.providers.base import Provider


class Backend(Protocol):
    """A service from its opening to its close."""

    @property
    def starts_on_demand(self) -> bool:
        """True where opening takes so long that it waits for the first request."""

    @property
    def max_concurrency(self) -> int:
        """How many requests it works on at once, 0 for as many as come."""

    def check(self) -> None:
        """Raise UsageError where it can't be opened in this installation."""

    async def open(self) -> str:
        """Make it ready and return its endpoint; raises ServiceError, Stalled and UsageError."""

    async def died(self) -> PipelineError:
        """Wait until it ends before its time, and return the error that says so."""

    async def close(self) -> None:
        """Let go of it; nothing happens where it was not opened."""


class LiveService:
    """A Backend that others run."""

    starts_on_demand = False
    max_concurrency = 0

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def check(self) -> None:
        """See Backend."""

    async def open(self) -> str:
        """See Backend."""
        return self._endpoint

    async def died(self) -> PipelineError:
        """See Backend; nothing is known of its end but that requests fail."""
        await anyio.sleep_forever()
        raise AssertionError("sleeping for ever has ended")

    async def close(self) -> None:
        """See Backend."""


def backend_of(config: Config) -> Backend:
    """Return the service that the configured provider sends to; nothing is started yet."""
    settings = config.provider
    if not isinstance(settings, EmbeddedSettings):
        return LiveService(settings.endpoint)
    # Each core reads the text of one picture while another waits: what waits longer only runs into request_timeout,
    # as a page full of text takes many seconds.
    most = 2 * (os.cpu_count() or 1) if reads_text(settings) else 0
    log = Path(config.output.dir) / "service.log"
    return EmbeddedService(command_of(settings, config), log, max_concurrency=most)


def make_provider(config: Config, endpoint: str = "") -> Provider:
    """Return the configured provider, for the service at `endpoint` once that is known."""
    settings = config.provider
    if isinstance(settings, EmbeddedSettings):
        settings = resolved(settings, config)
    return PROVIDERS[settings.name].make(settings, endpoint)
