"""The bytes of pictures that are not behind a URL: files, members of archives, files in cloud storage."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from threading import Lock

from pipeline.errors import SourceError
from pipeline.guards.file_length import check_length
from pipeline.prepare.local_file import hash_file, read_file
from pipeline.records import ArchiveMember, CloudFile, LocalFile
from pipeline.tabular.archive import DAMAGED_ARCHIVE, ArchiveStream, archive_error, open_archive, read_member
from pipeline.tabular.location import read_location
from pipeline.wording import readable

StoredImage = LocalFile | ArchiveMember | CloudFile


class PictureSources:
    """Reads pictures of at most `max_bytes`; may be used by several threads. Close it at the end."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._archives = Archives()

    def close(self) -> None:
        """Close the archives that were read; a read that goes on ends first."""
        self._archives.close()

    def read(self, image: StoredImage) -> bytes:
        """Return a picture's bytes; raises SourceError."""
        match image:
            case LocalFile(path=path):
                return read_file(path, self._max_bytes)
            case ArchiveMember():
                return self._archives.read(image, self._max_bytes)
            case CloudFile(url=url):
                return read_cloud(url, self._max_bytes)

    def hash(self, image: LocalFile | ArchiveMember) -> str:
        """Return the SHA-256 of a picture in hexadecimal; raises SourceError."""
        if isinstance(image, LocalFile):
            return hash_file(image.path)
        return hashlib.sha256(self.read(image)).hexdigest()


def read_cloud(url: str, max_bytes: int) -> bytes:
    """Return the bytes of a file in cloud storage; raises SourceError, retryable where a later try may help.

    Codes: not-found, forbidden, unreadable, too-large, empty.
    """
    try:
        data = read_location(url, max_bytes + 1)
    except FileNotFoundError as exc:
        raise SourceError("not-found", f"{url}: {exc.strerror}") from exc
    except PermissionError as exc:
        raise SourceError("forbidden", f"{url}: {exc.strerror}") from exc
    except OSError as exc:
        raise SourceError("unreadable", f"{url}: it can't be read ({exc.strerror})", retryable=True) from exc
    check_length(url, len(data), max_bytes)
    return data


class Archives:
    """Archives that stay open; one read at a time, because a compressed one is only fast when it is read in order."""

    def __init__(self) -> None:
        self._streams: dict[str, ArchiveStream] = {}
        self._opened = ExitStack()
        self._lock = Lock()

    def close(self) -> None:
        """Close all archives; a read that goes on ends first."""
        with self._lock:
            self._opened.close()
            self._streams.clear()

    def read(self, member: ArchiveMember, max_bytes: int) -> bytes:
        """Return the bytes of a member; raises SourceError.

        Codes: unreadable, too-large, empty. No more than `max_bytes` and one are ever unpacked.
        """
        name = readable(member.name)
        try:
            with self._lock:
                data = read_member(self._stream(member.archive), member.place, max_bytes + 1)
        except (OSError, *DAMAGED_ARCHIVE) as exc:
            raise SourceError(
                "unreadable", f"{name}: it can't be read from the archive ({archive_error(exc)})"
            ) from exc
        check_length(name, len(data), max_bytes)
        return data

    def _stream(self, archive: str) -> ArchiveStream:
        if archive not in self._streams:
            self._streams[archive] = self._opened.enter_context(open_archive(archive))
        return self._streams[archive]
