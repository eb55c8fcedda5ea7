"""The library: what a program calls instead of the command line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.config import Config
from pipeline.config import load_config as load
from pipeline.providers import settings_models
from pipeline.runner.job import run
from pipeline.runner.stop import Stop

__all__ = ["Stop", "load_config", "run"]


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read and validate a config, with `key.path=value` overrides; raises ConfigError with every problem in it."""
    return load(path, overrides, providers=settings_models())
