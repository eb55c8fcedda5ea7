"""Read a local file: with a limit on its size, and without blocking on pipes and devices."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from pipeline.errors import SourceError

# Without O_NONBLOCK, open() would block on a FIFO or a device; regular files ignore the flag.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_CODES = {
    errno.ENOENT: ("not-found", "there is no such file"),
    errno.ENOTDIR: ("not-found", "there is no such file"),
    errno.EACCES: ("unreadable", "the file can't be read; check its permissions"),
    errno.EPERM: ("unreadable", "the file can't be read; check its permissions"),
    errno.ENXIO: ("not-a-file", "it is a socket or a pipe, not a file"),
    errno.EISDIR: ("not-a-file", "it is a folder, not a file"),
}


def read_file(path: Path, max_bytes: int) -> bytes:
    """Read a regular file of 1 to `max_bytes` bytes; raises SourceError.

    Codes: not-found, not-a-file, unreadable, too-large, empty.
    """
    try:
        descriptor = os.open(path, _FLAGS)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, no path
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise SourceError("not-a-file", f"{path.name}: it is not a regular file")
            check_length(path.name, status.st_size, max_bytes)
            data = file.read(max_bytes + 1)  # it may grow while it is read
    except OSError as exc:
        code, reason = _CODES.get(exc.errno or 0, ("unreadable", f"the file can't be read ({exc.strerror})"))
        raise SourceError(code, f"{path.name}: {reason}") from exc
    check_length(path.name, len(data), max_bytes)
    return data


def check_length(name: str, length: int, max_bytes: int) -> None:
    """Raise SourceError if a file of `length` bytes is empty or over the limit."""
    if length == 0:
        raise SourceError("empty", f"{name}: the file is empty")
    if length > max_bytes:
        raise SourceError("too-large", f"{name}: more than the {max_bytes:,} bytes that prepare.max_file_bytes allows")
