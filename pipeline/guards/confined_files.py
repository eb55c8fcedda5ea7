"""Read a file below a folder: only a regular one, and through no link on any part of its path."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from pipeline.errors import SourceError

# A folder is opened to be looked up in, not to be read: the permission to search it is enough.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK, a FIFO that takes the place of the file just now would block.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CODES = {
    errno.ENOENT: ("not-found", "there is no such file"),
    errno.ENOTDIR: ("not-found", "there is no such file, or a link is on the way to it"),
    errno.ELOOP: ("not-a-file", "it is a link, not a file"),
    errno.EACCES: ("unreadable", "the file can't be read; check its permissions"),
    errno.EPERM: ("unreadable", "the file can't be read; check its permissions"),
}


def read_beneath(root: Path, name: str, max_bytes: int) -> bytes:
    """Read the file `name`, a relative path with slashes, of at most `max_bytes`; raises SourceError.

    Codes: outside-root, not-found, not-a-file, unreadable, too-large.
    """
    with open_beneath(root, name) as file:
        try:
            _check(os.fstat(file.fileno()), max_bytes)
            data = file.read(max_bytes + 1)  # it may grow while it is read
        except OSError as exc:
            raise _source_error(exc) from exc
    if len(data) > max_bytes:
        raise _too_large(max_bytes)
    return data


def open_beneath(root: Path, name: str) -> BufferedReader:
    """Open the regular file `name`, a relative path with slashes; raises SourceError.

    Codes: outside-root, not-found, not-a-file, unreadable.
    """
    try:
        with _parent(root, name) as folder:
            descriptor = _open(name, folder)
    except OSError as exc:
        raise _source_error(exc) from exc
    try:
        _check(os.fstat(descriptor))
    except SourceError:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")  # noqa: PTH123 - a descriptor, no path


@contextmanager
def _parent(root: Path, name: str) -> Iterator[int]:
    """Open the folder that holds a file, one part of the path after the other."""
    parts = name.split("/")
    if not name or {"", ".", ".."} & set(parts):
        raise SourceError("outside-root", "it is no path below the folder")
    folder = os.open(root, _FOLDER)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _open(name: str, folder: int) -> int:
    """Open a file; a device or a FIFO is not opened at all, because that alone can act."""
    last = name.rpartition("/")[2]
    _check(os.stat(last, dir_fd=folder, follow_symlinks=False))
    return os.open(last, _FILE, dir_fd=folder)


def _check(status: os.stat_result, max_bytes: int | None = None) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SourceError("not-a-file", "it is not a regular file")
    if max_bytes is not None and status.st_size > max_bytes:
        raise _too_large(max_bytes)


def _source_error(error: OSError) -> SourceError:
    return SourceError(*_CODES.get(error.errno or 0, ("unreadable", f"the file can't be read ({error.strerror})")))


def _too_large(max_bytes: int) -> SourceError:
    return SourceError("too-large", f"the file has more than {max_bytes:,} bytes")
