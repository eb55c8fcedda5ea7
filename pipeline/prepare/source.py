"""A local file's bytes: with a cap, and never waiting on what is no plain file."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from pipeline.errors import SourceError

# A FIFO or a device would block in open() without O_NONBLOCK; plain files ignore it.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_CODES = {
    errno.ENOENT: ("not-found", "there is no such file"),
    errno.ENOTDIR: ("not-found", "there is no such file"),
    errno.EACCES: ("unreadable", "the file may not be read; check its permissions"),
    errno.EPERM: ("unreadable", "the file may not be read; check its permissions"),
    errno.ENXIO: ("not-a-file", "it is a socket or a pipe, no file"),
    errno.EISDIR: ("not-a-file", "it is a folder, no file"),
}


def read_file(path: Path, max_bytes: int) -> bytes:
    """Read a plain file of 1 to `max_bytes` bytes; raises SourceError.

    Codes: not-found, not-a-file, unreadable, too-large, empty.
    """
    try:
        descriptor = os.open(path, _FLAGS)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, no path
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise SourceError("not-a-file", f"{path.name}: it is no plain file")
            check_length(path.name, facts.st_size, max_bytes)
            data = file.read(max_bytes + 1)  # it may grow while it is read
    except OSError as exc:
        code, reason = _CODES.get(exc.errno or 0, ("unreadable", f"the file can't be read ({exc.strerror})"))
        raise SourceError(code, f"{path.name}: {reason}") from exc
    check_length(path.name, len(data), max_bytes)
    return data


def check_length(name: str, length: int, max_bytes: int) -> None:
    """Raise SourceError where a file of `length` bytes is empty or over the cap."""
    if length == 0:
        raise SourceError("empty", f"{name}: the file is empty")
    if length > max_bytes:
        raise SourceError("too-large", f"{name}: more than the {max_bytes:,} bytes of prepare.max_file_bytes")
