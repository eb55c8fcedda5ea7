"""Pictures that are listed and not written in a table, as lines: those of a folder, an archive, or cloud storage."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import LineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A picture by its name, or what is wrong with what has this name; what is skipped has none.

    `place` says where its bytes are, where the name alone doesn't, `stamp` changes when they do.
    """

    name: str
    place: str = ""
    stamp: bytes = b""
    error: LineError | None = None


def listed_line(name: str, *, place: str = "", stamp: str = "", error: LineError | None = None) -> str:
    """Return the line of a picture; no name holds a NUL."""
    code, reason = (error.code, str(error)) if error else ("", "")
    return f"{name}\0{code}\0{reason}\0{place}\0{stamp}"


# The line of what is skipped. They come last, so that those of pictures don't move when one is added.
SKIPPED_LINE = listed_line("")


def parse_listed(line: str) -> Listed:
    """Return what a line says."""
    name, code, reason, place, stamp = line.split("\0")
    return Listed(name=name, place=place, stamp=stamp.encode(), error=LineError(code, reason) if code else None)
