"""The header names and path prefixes that the published protocol fixes, from wire_names.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderNames:
    """The names of the protocol's own headers, by what they carry."""

    key: str
    client_id: str
    location: str
    trace_id: str
    market: str


_names = tomllib.loads((files(__package__) / "wire_names.toml").read_text("utf-8"))

HEADERS = HeaderNames(**_names["headers"])
PATH_PREFIXES: tuple[str, ...] = tuple(_names["paths"]["prefixes"])
