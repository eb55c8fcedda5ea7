"""Image insights for a whole catalogue: manifest -> prepare -> fetch -> sink.

As a library: `config = load_config("job.toml")`, then `report = await run(config)`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.api import Stop, load_config, run

__all__ = ["Stop", "load_config", "run"]


def __getattr__(name: str) -> object:
    """Import the library when it is first used: importing a single module of the package stays cheap."""
    if name in __all__:
        return getattr(import_module("pipeline.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
