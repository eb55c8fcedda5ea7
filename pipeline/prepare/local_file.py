"""Read a local file: a regular one, without following links, with a limit on its size, and without blocking."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader

from pipeline.errors import SourceError

# O_PATH needs no permission to list a folder. With O_NOFOLLOW and O_DIRECTORY, a link is no folder.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, open() would block on a FIFO or a device; regular files ignore the flag.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CODES = {
    errno.ENOENT: ("not-found", "there is no such file"),
    errno.ENOTDIR: ("not-found", "there is no such file"),
    errno.EACCES: ("unreadable", "the file can't be read; check its permissions"),
    errno.EPERM: ("unreadable", "the file can't be read; check its permissions"),
    errno.ENXIO: ("not-a-file", "it is a socket, a pipe or a device, not a file"),
    errno.EISDIR: ("not-a-file", "it is a folder, not a file"),
    errno.ELOOP: ("not-a-file", "a part of its path has become a link; the next run looks it up again"),
}


def read_file(path: str, max_bytes: int) -> bytes:
    """Read a regular file of 1 to `max_bytes` bytes; raises SourceError.

    Codes: not-found, not-a-file, unreadable, too-large, empty.
    """
    name = os.path.basename(path)  # noqa: PTH119 - plain text, see LocalFile
    with open_file(path) as file:
        try:
            check_length(name, os.fstat(file.fileno()).st_size, max_bytes)
            data = file.read(max_bytes + 1)  # it may grow while it is read
        except OSError as exc:
            raise _source_error(name, exc) from exc
    check_length(name, len(data), max_bytes)
    return data


def open_file(path: str) -> BufferedReader:
    """Open a regular file by its real, absolute path; raises SourceError.

    No part of the path may be a link. So a folder that is replaced by a link after the path was looked up, and found to
    be inside the root, leads nowhere else.
    """
    name = os.path.basename(path)  # noqa: PTH119 - plain text, see LocalFile
    try:
        descriptor = _open(path)
    except OSError as exc:
        raise _source_error(name, exc) from exc
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SourceError("not-a-file", f"{name}: it is not a regular file")
    return open(descriptor, "rb")  # noqa: PTH123 - a descriptor, no path


def check_length(name: str, length: int, max_bytes: int) -> None:
    """Raise SourceError if a file of `length` bytes is empty or over the limit."""
    if length == 0:
        raise SourceError("empty", f"{name}: the file is empty")
    if length > max_bytes:
        raise SourceError("too-large", f"{name}: more than the {max_bytes:,} bytes that prepare.max_file_bytes allows")


def _open(path: str) -> int:
    """Return a descriptor of the file, opened part by part; raises OSError with ELOOP where a part is a link."""
    *folders, name = path.strip("/").split("/")
    folder = os.open("/", _FOLDER)
    try:
        for part in folders:
            inner = _enter(part, folder)
            os.close(folder)
            folder = inner
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise OSError(errno.ENXIO, "a device")  # to open one may already do something
        return os.open(name, _FILE, dir_fd=folder)
    finally:
        os.close(folder)


def _enter(part: str, folder: int) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=folder)
    except NotADirectoryError:
        if stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, "a link") from None
        raise


def _source_error(name: str, error: OSError) -> SourceError:
    default = ("unreadable", f"the file can't be read ({error.strerror})")
    code, reason = _CODES.get(error.errno or 0, default)
    return SourceError(code, f"{name}: {reason}", retryable=error.errno == errno.ELOOP)
