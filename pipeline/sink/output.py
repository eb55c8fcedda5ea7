"""One JSONL file, appended in whole lines and never torn: what lies past the committed length is cut off on opening."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.errors import OutputError
from pipeline.guards.private_files import PRIVATE, SHARED, open_file, remove, sync


class JsonLines:
    """The file at `path`, of which `committed` bytes count. Raises OutputError where it can't be written."""

    def __init__(self, path: Path, committed: int) -> None:
        self.path = path
        self.length = committed
        try:
            self._fd = open_file(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, SHARED)
            if os.fstat(self._fd).st_size != committed:
                os.ftruncate(self._fd, committed)
        except OSError as exc:
            raise _unwritable(path, exc) from exc

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def changed(self) -> int:
        """Return when the file was changed last, in ns: its modification time."""
        return os.fstat(self._fd).st_mtime_ns

    def read(self, offset: int, length: int) -> bytes:
        """Return the line at a place that is committed."""
        try:
            return os.pread(self._fd, length, offset)
        except OSError as exc:
            raise OutputError(f"{self.path} can't be read ({exc.strerror}); fix that and run again") from exc

    def append(self, lines: Sequence[bytes]) -> list[int]:
        """Append whole lines (each ends in a newline), sync them, and return the offset of each.

        When the disk refuses, the file is cut back to where it was.
        """
        offsets, end = [], self.length
        for line in lines:
            offsets.append(end)
            end += len(line)
        try:
            _write_all(self._fd, b"".join(lines))
            os.fdatasync(self._fd)
        except OSError as exc:
            with suppress(OSError):  # the next run cuts it otherwise
                os.ftruncate(self._fd, self.length)
            raise _unwritable(self.path, exc) from exc
        self.length = end
        return offsets


class Reserve:
    """Space on the disk that is kept for answers that were paid for, should the disk fill up while they come in."""

    SIZE = 4 * 1024 * 1024

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            fd = open_file(path, os.O_RDWR | os.O_CREAT, PRIVATE)
            try:
                os.posix_fallocate(fd, 0, self.SIZE)
            finally:
                os.close(fd)
        except OSError as exc:
            self.release()
            raise OutputError(
                f"{path} can't be written ({exc.strerror}): a run keeps {self.SIZE // 2**20} MiB free for answers on "
                "their way; nothing committed is lost, fix that and run again"
            ) from exc

    def release(self) -> None:
        """Give the space back to the disk."""
        remove(self._path)


def size(path: Path) -> int:
    """Return the size of a file in bytes, 0 where there is none."""
    stat = _stat(path)
    return 0 if stat is None else stat.st_size


def changed(path: Path) -> int:
    """Return when a file was changed last, in ns, 0 where there is none."""
    stat = _stat(path)
    return 0 if stat is None else stat.st_mtime_ns


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise _unwritable(path, exc) from exc


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content` so that a reader sees the old file or the new one, whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        remove(temporary)
        with os.fdopen(open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SHARED), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(path.parent)
    except OSError as exc:
        remove(temporary)
        raise _unwritable(path, exc) from exc


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _unwritable(path: Path, exc: OSError) -> OutputError:
    return OutputError(f"{path} can't be written ({exc.strerror}); nothing committed is lost, fix that and run again")
