"""The pictures in a .zip or .tar archive: listed in its own order, in flat memory, and read without unpacking it."""

from __future__ import annotations

import re
import stat
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain, islice
from typing import IO, cast
from zipfile import BadZipFile

from pipeline.errors import LineError, TableError
from pipeline.tabular.compression import DAMAGED, GzipContent
from pipeline.tabular.formats import TableFile, format_name
from pipeline.tabular.listing import SKIPPED_LINE, listed_line
from pipeline.tabular.location import look_at, open_location
from pipeline.tabular.pictures import (
    HEAD_BYTES,
    check_not_raw,
    has_picture_name,
    is_ignored_file,
    is_ignored_folder,
    is_picture,
)
from pipeline.tabular.zip_directory import ZipEntry, open_entry, read_directory
from pipeline.wording import readable

# What reading an archive may raise, beside OSError.
DAMAGED_ARCHIVE = (*DAMAGED, BadZipFile, tarfile.TarError)
ArchiveStream = IO[bytes]

_GZIP = b"\x1f\x8b"
_LEADS_OUT = re.compile(r"[/\\]|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|$)")
# A gzip stream may stand for a thousand times its size; pictures hardly get smaller in one.
_MOST_EXPANSION, _ALWAYS_ALLOWED = 100, 1 << 30


class Members:
    """The members of an archive, as lines (listing.py).

    Skipped are folders and links, and what folders of pictures skip as well. Raises TableError where the archive can't
    be read, already when it is opened where its beginning shows that.
    """

    def __init__(self, file: TableFile) -> None:
        self._place = file.path
        with ExitStack() as opened:
            try:
                stream = opened.enter_context(open_archive(file.path))
                lines = _zip_lines(stream) if format_name(file) == "zip" else _tar_lines(stream, file.path)
                self._lines = chain(list(islice(lines, 1)), lines)
            except (OSError, *DAMAGED_ARCHIVE) as exc:
                raise TableError(f"{file.section}.path: {file.path} can't be read: {archive_error(exc)}") from exc
            self.close = opened.pop_all().close

    def lines(self) -> Iterator[str]:
        """Yield the lines; raises TableError where the archive can't be read on."""
        count = skipped = 0
        try:
            for line in self._lines:
                count += 1
                if line is None:
                    skipped += 1
                else:
                    yield line
        except (OSError, *DAMAGED_ARCHIVE) as exc:
            raise TableError(f"{self._place}: can't be read on after member {count}: {archive_error(exc)}") from exc
        for _ in range(skipped):
            yield SKIPPED_LINE


def archive_error(error: BaseException) -> str:
    """Return what an error of an archive says, without the number and the name that the system adds."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def open_archive(path: str) -> ArchiveStream:
    """Open the content of a .zip, .tar or compressed .tar file, whatever its name; raises OSError."""
    stream = open_location(path)
    is_compressed = stream.read(len(_GZIP)) == _GZIP
    stream.seek(0)
    return cast("ArchiveStream", GzipContent(stream)) if is_compressed else stream


def read_member(stream: ArchiveStream, place: str, most: int) -> bytes:
    """Read the picture at a `place`, at most so many bytes of it; raises OSError and the errors of DAMAGED_ARCHIVE."""
    kind, *numbers = place.split()
    if kind == "tar":
        offset, size = map(int, numbers)
        stream.seek(offset)
        return stream.read(min(size, most))
    offset, size, packed_size, method, checksum = map(int, numbers)
    entry = ZipEntry(name="", offset=offset, size=size, packed_size=packed_size, method=method, checksum=checksum)
    with open_entry(stream, entry) as content:
        return content.read(most)


def _zip_lines(stream: ArchiveStream) -> Iterator[str | None]:
    for entry in read_directory(stream):
        name = _plain(entry.name) if "/" in entry.name else _plain(entry.name).replace("\\", "/")
        if name.endswith("/") or stat.S_ISLNK(entry.mode) or _is_ignored(name):
            yield None
            continue
        place = f"zip {entry.offset} {entry.size} {entry.packed_size} {entry.method} {entry.checksum}"
        if entry.is_encrypted:
            yield _line(name, place, "", LineError("unreadable", f"{readable(name)!r} is encrypted"))
        elif has_picture_name(name) or is_picture(read_member(stream, place, HEAD_BYTES)):
            yield _line(name, place, f"{entry.checksum} {entry.size}")
        else:
            yield None


def _tar_lines(stream: ArchiveStream, archive: str) -> Iterator[str | None]:
    facts = look_at(archive)
    limit = _MOST_EXPANSION * facts.size + _ALWAYS_ALLOWED
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined] # it would keep all of them; typeshed doesn't know it
            if member.offset_data + member.size > limit:
                raise tarfile.ReadError(f"it unpacks to more than {_MOST_EXPANSION} times its size")
            name, place = _plain(member.name).removeprefix("./"), f"tar {member.offset_data} {member.size}"
            is_file = member.isreg() and not member.issparse() and not _is_ignored(name)
            if is_file and (has_picture_name(name) or is_picture(read_member(stream, place, HEAD_BYTES))):
                yield _line(name, place, f"{facts.stamp} {place}")
            else:
                yield None


def _plain(name: str) -> str:
    """Return a name up to the first NUL: what is behind it is no part of any path."""
    return name.partition("\0")[0]


def _is_ignored(name: str) -> bool:
    if _LEADS_OUT.match(name):
        return False  # it is named
    *folders, file = name.split("/")
    return is_ignored_file(file) or any(is_ignored_folder(folder) for folder in folders if folder not in {".", ".."})


def _line(name: str, place: str, stamp: str, error: LineError | None = None) -> str:
    try:
        _check_name(name)
    except LineError as exc:
        error = exc
    return listed_line(name, place=place, stamp=stamp, error=error)


def _check_name(name: str) -> None:
    if _LEADS_OUT.match(name):
        raise LineError("outside-root", f"{readable(name)!r} leads out of the archive")
    check_not_raw(name)
