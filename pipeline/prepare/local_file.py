"""Read the local file of a row: a regular one, through no link, with a limit on its size, and without blocking."""

from __future__ import annotations

import os
from hashlib import file_digest
from io import BufferedReader
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.guards.confined_files import open_beneath, read_beneath
from pipeline.guards.file_length import check_length
from pipeline.prepare.near_match import near_match, nearest_folder
from pipeline.wording import readable

_TOP = Path("/")


def read_file(path: str, max_bytes: int) -> bytes:
    """Read a regular file of 1 to `max_bytes` bytes by its real, absolute path; raises SourceError.

    No part of the path may be a link. So a folder that becomes a link after the path was looked up, and found to be
    inside the root, leads nowhere else. Codes: not-found, not-a-file, unreadable, too-large, empty.
    """
    try:
        data = read_beneath(_TOP, path.lstrip("/"), max_bytes)
    except SourceError as exc:
        if exc.code == "too-large":
            check_length(_name(path), max_bytes + 1, max_bytes)
        raise _named(path, exc) from exc
    check_length(_name(path), len(data), max_bytes)
    return data


def hash_file(path: str) -> str:
    """Return the SHA-256 of a regular file in hexadecimal; raises SourceError as `read_file` does."""
    with open_file(path) as file:
        try:
            return file_digest(file, "sha256").hexdigest()
        except OSError as exc:
            raise SourceError("unreadable", f"{_name(path)}: the file can't be read ({exc.strerror})") from exc


def open_file(path: str) -> BufferedReader:
    """Open a regular file as `read_file` does; raises SourceError."""
    try:
        return open_beneath(_TOP, path.lstrip("/"))
    except SourceError as exc:
        raise _named(path, exc) from exc


def _named(path: str, error: SourceError) -> SourceError:
    """Return the error with the file's name, and with the folder that was searched where there is no such file."""
    if error.code != "not-found" or "link" in str(error):
        return SourceError(error.code, f"{_name(path)}: {error}")
    folder, rest = nearest_folder(path)
    near = near_match(folder, rest)
    hint = f"; did you mean {readable(near)!r}?" if near else ""
    return SourceError("not-found", f"{readable(rest)}: there is no such file in {readable(folder)}{hint}")


def _name(path: str) -> str:
    return readable(os.path.basename(path))  # noqa: PTH119 - plain text, see LocalFile
