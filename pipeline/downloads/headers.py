"""The headers that a job adds to its downloads."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadHeader:
    """A header of downloads; one with a `host` is a secret of that host, sent to no other."""

    name: str
    value: SecretStr
    host: str = ""
