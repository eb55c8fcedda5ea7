"""Image insights for a whole catalogue: manifest -> prepare -> fetch -> sink.

As a library: `config = load_config("job.toml")`, then `report = await run(config)`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.config import Config
    from pipeline.report.run_json import Report

__all__ = ["load_config", "run"]


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read and validate a config, with `key.path=value` overrides; raises ConfigError with every problem found."""
    from pipeline.config import load_config as load  # noqa: PLC0415 - importing the package stays cheap and free of cycles
    from pipeline.providers import settings_models  # noqa: PLC0415 - likewise

    return load(path, overrides, providers=settings_models())


async def run(config: Config, *, limit: int | None = None) -> Report:
    """Do the job, as far as it goes, and return the report of it; see pipeline.runner.job.run."""
    from pipeline.runner import job  # noqa: PLC0415 - likewise

    return await job.run(config, limit=limit)
