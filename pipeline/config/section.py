"""What all tables of a config have in common."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of the config: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)
    # Where a key belongs that was written into the config itself.
    key_place: ClassVar[str] = "provider.key_env, or into a file that only you can read, named in provider.key_file"

    def notes(self) -> tuple[str, ...]:
        """Return what `check` says of values that are valid, but may not do what is meant; each begins with its key."""
        return ()
