"""How long the file of a picture may be."""

from __future__ import annotations

from pipeline.errors import SourceError


def check_length(name: str, length: int, max_bytes: int) -> None:
    """Raise SourceError if a file of `length` bytes is empty or over the limit."""
    if length == 0:
        raise SourceError("empty", f"{name}: the file is empty")
    if length > max_bytes:
        raise SourceError("too-large", f"{name}: more than the {max_bytes:,} bytes that prepare.max_file_bytes allows")
