"""Where tables, archives and pictures are: on this machine, or in cloud storage through fsspec (extra `cloud`)."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final, cast
from urllib.parse import unquote, urlsplit

# The schemes of fsspec that are storage like a disk; "memory" is for tests.
CLOUD_SCHEMES: Final = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "memory"}
MISSING_PACKAGE: Final = 'cloud storage needs the package fsspec; install the extra "cloud"'
_SHOWN_CHARS = 300
_BUFFER_BYTES = 1 << 16
# What tells that a stored file has changed, by the names that storages give it, the most reliable first.
_STAMPS = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "updated", "mtime", "created")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationFacts:
    """What is known of a place without reading it; `stamp` is other text when its content has changed."""

    is_folder: bool
    size: int
    stamp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudFolder:
    """A folder of cloud storage: its files and its folders by name, the files with their stamps."""

    files: dict[str, str]
    folders: list[str]


def is_cloud(path: str) -> bool:
    """Return True for a URL of cloud storage, such as s3://bucket/table.csv."""
    scheme, separator, _ = path.partition("://")
    return bool(separator) and scheme.lower() in CLOUD_SCHEMES


@cache
def has_cloud_package() -> bool:
    """Return True if cloud storage can be read in this installation, as far as fsspec itself goes."""
    return find_spec("fsspec") is not None


def local_path(text: str) -> str:
    """Return a path on this machine as such: file:///srv/a%20b.csv is /srv/a b.csv."""
    return unquote(urlsplit(text).path) if text.startswith("file:///") else text


def join(folder: str, name: str) -> str:
    """Return the URL of a name below a folder of cloud storage."""
    return f"{folder.rstrip('/')}/{name.removeprefix('./')}"


def open_location(path: str) -> IO[bytes]:
    """Open a file for reading, with seek; raises OSError."""
    if not is_cloud(path):
        return Path(path).open("rb")
    with _storage(path) as (storage, key):
        return io.BufferedReader(_CloudStream(storage.open(key, "rb")), _BUFFER_BYTES)


def look_at(path: str) -> LocationFacts:
    """Return what is known of a file or a folder without reading it; raises OSError."""
    if not is_cloud(path):
        status = Path(path).stat()
        return LocationFacts(
            is_folder=Path(path).is_dir(), size=status.st_size, stamp=f"{status.st_mtime_ns} {status.st_size}"
        )
    with _storage(path) as (storage, key):
        info = storage.info(key)
        return LocationFacts(is_folder=info["type"] == "directory", size=info["size"] or 0, stamp=_stamp(info))


def read_location(url: str, most: int) -> bytes:
    """Return the first bytes of a stored file, at most so many, with one request; raises OSError."""
    with _storage(url) as (storage, key):
        return cast("bytes", storage.cat_file(key, start=0, end=most))


def list_folder(url: str) -> CloudFolder:
    """Return what is directly in a folder of cloud storage; raises OSError."""
    with _storage(url) as (storage, key):
        entries = storage.ls(key, detail=True)
    names = {entry["name"].rstrip("/").rpartition("/")[2]: entry for entry in entries}
    own = key.strip("/").rpartition("/")[2]  # a folder that was made by hand lists itself
    files = {name: _stamp(entry) for name, entry in names.items() if entry["type"] == "file"}
    folders = [name for name, entry in names.items() if entry["type"] == "directory" and name != own]
    return CloudFolder(files=files, folders=folders)


def _stamp(info: dict[str, Any]) -> str:
    stamp = next((info[name] for name in _STAMPS if info.get(name)), "")
    return f"{stamp} {info.get('size')}".replace("\0", "")


class _CloudStream(io.RawIOBase):
    """A stored file that is open for reading."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        """Return True: it can be read."""
        return True

    def seekable(self) -> bool:
        """Return True: any part can be requested."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place; nothing is requested yet."""
        with _translated():
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """Return the place."""
        return int(self._file.tell())

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # typeshed's Buffer needs 3.12
        """Fill `buffer` and return the number of bytes, 0 at the end."""
        with _translated():
            return int(self._file.readinto(buffer))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


@contextmanager
def _storage(url: str) -> Iterator[tuple[Any, str]]:
    """Give the storage of a URL and the file's name in it; what goes wrong there is an OSError."""
    if not has_cloud_package():
        raise OSError(errno.ENOSYS, MISSING_PACKAGE)
    with _translated():
        yield import_module("fsspec.core").url_to_fs(url, use_listings_cache=False)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise OSError for what goes wrong inside; storages raise errors of their own libraries, which often are none."""
    try:
        yield
    except FileNotFoundError as exc:
        raise FileNotFoundError(errno.ENOENT, "there is no such file") from exc
    except PermissionError as exc:
        raise PermissionError(errno.EACCES, "the storage refuses access; check its credentials") from exc
    except Exception as exc:
        raise OSError(errno.EIO, f"{type(exc).__name__}: {exc}"[:_SHOWN_CHARS]) from exc
