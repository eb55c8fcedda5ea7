"""Files that this program writes: synced, private where they must be, and never behind a link that somebody planted."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal, cast

from pipeline.errors import OutputError

PRIVATE = 0o600
PRIVATE_FOLDER = 0o700
SHARED = 0o666  # less the umask
_ROOT = 0
_MOST_LINKS = 40
# What SQLite keeps beside a database, with the database's own permissions.
_BESIDE = ("-wal", "-shm", "-journal")


def sync(path: Path) -> None:
    """Bring the content of a closed file, or the renames inside a folder, to the disk; raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove(path: Path) -> None:
    """Remove a file that is no longer needed, if that can be done."""
    with suppress(OSError):
        path.unlink()


def open_file(path: Path, flags: int, mode: int) -> int:
    """Open `path` itself, never what a link leads to; a new file gets `mode`.

    PRIVATE holds whatever the umask is, also for a file that was there. Raises OutputError for a link, and OSError.
    """
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise _refused(path) from exc
        raise
    if mode == PRIVATE:
        with suppress(OSError):  # the file is another user's
            os.fchmod(fd, PRIVATE)
    return fd


def open_private(path: Path, mode: Literal["wb", "ab"]) -> BinaryIO:
    """Open a file that only its owner may read, to write or to append; raises OutputError for a link, and OSError."""
    opened = open(path, mode, opener=lambda name, flags: open_file(Path(name), flags, PRIVATE))  # noqa: SIM115 - it has no opener; the caller closes it
    return cast("BinaryIO", opened)


def make_private_folder(folder: Path) -> None:
    """Let a folder be there; those that are new belong to their owner alone, whatever the umask is.

    One that was there keeps its permissions: others may have been meant to use it. Raises OutputError for a link that
    another user has made, and OSError.
    """
    folder = follow_own_links(folder)
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(PRIVATE_FOLDER, exist_ok=True)
        missing.chmod(PRIVATE_FOLDER)  # a umask may have taken the owner's rights too


def private_database(path: Path | None) -> str:
    """Return what `sqlite3.connect` opens as a database that nobody else can read, one in memory without a path.

    Raises OutputError for a link. What is wrong otherwise, SQLite says better.
    """
    if path is None:
        return ":memory:"
    with suppress(OSError):
        make_private(path)
    for beside in (path.with_name(path.name + suffix) for suffix in _BESIDE):
        refuse_link(beside)
        with suppress(OSError):
            beside.chmod(PRIVATE)
    return str(path)


def make_private(path: Path) -> None:
    """Let a file be there that only its owner may read; raises OutputError for a link, and OSError.

    One that was there is not opened: closing a descriptor would end all locks that SQLite holds on the file.
    """
    refuse_link(path)
    if path.exists():
        path.chmod(PRIVATE)
    else:
        os.close(open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE))


def refuse_link(path: Path) -> None:
    """Raise OutputError where `path` is a link."""
    if path.is_symlink():
        raise _refused(path)


def follow_own_links(path: Path) -> Path:
    """Return the file that `path` leads to; raises OutputError for a link that neither the user nor root has made."""
    for _ in range(_MOST_LINKS):
        if not path.is_symlink():
            return path
        if path.lstat().st_uid not in {_ROOT, os.geteuid()}:
            raise OutputError(f"{path} is a symbolic link that another user has made; remove it and run again")
        path = path.parent / path.readlink()
    raise _refused(path)


def _refused(path: Path) -> OutputError:
    return OutputError(f"{path} is a symbolic link, which is not followed; remove it and run again")
