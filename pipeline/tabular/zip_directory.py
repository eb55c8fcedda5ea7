"""The directory of a .zip file, read entry by entry: the standard library holds it in memory as a whole."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO
from zipfile import BadZipFile, ZipExtFile, ZipInfo

Stream = IO[bytes]
_END, _END_64, _LOCATOR, _ENTRY, _LOCAL = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2", b"PK\3\4"
_END_FORM = struct.Struct("<4s4H2LH")
_LOCATOR_FORM = struct.Struct("<4sLQL")
_END_64_FORM = struct.Struct("<4sQ2H2L4Q")
_ENTRY_FORM = struct.Struct("<4s6H3L5H2L")
_LOCAL_FORM = struct.Struct("<4s5H3L2H")
_MOST_COMMENT = 1 << 16
_ENCRYPTED, _UTF_8 = 1 << 0, 1 << 11
_LARGE = 0xFFFF_FFFF
_EXTRA_64 = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipEntry:
    """One file of an archive: its name, where its local header is, and how its bytes are packed.

    `mode` is the Unix mode where there is one, else 0.
    """

    name: str
    offset: int
    size: int
    packed_size: int
    method: int
    checksum: int
    mode: int = 0
    is_encrypted: bool = False


def read_directory(file: Stream) -> Iterator[ZipEntry]:
    """Yield the entries of a .zip file in their order; raises BadZipFile where it is none, or is cut off."""
    count, start, shift = _find_directory(file)
    at = start
    for _ in range(count):
        file.seek(at)
        fields = _unpack(_ENTRY_FORM, file.read(_ENTRY_FORM.size), _ENTRY)
        name, extra = file.read(fields[10]), file.read(fields[11])
        at += _ENTRY_FORM.size + fields[10] + fields[11] + fields[12]
        yield _entry(fields, name, extra, shift)


def open_entry(file: Stream, entry: ZipEntry) -> ZipExtFile:
    """Return the content of an entry as a stream that checks it; raises BadZipFile, also while it is read."""
    file.seek(entry.offset)
    fields = _unpack(_LOCAL_FORM, file.read(_LOCAL_FORM.size), _LOCAL)
    file.seek(fields[9] + fields[10], 1)
    info = ZipInfo(entry.name)
    info.compress_type, info.CRC = entry.method, entry.checksum
    info.compress_size, info.file_size = entry.packed_size, entry.size
    try:
        return ZipExtFile(file, "r", info)
    except (NotImplementedError, RuntimeError) as exc:
        raise BadZipFile(f"it is packed in a way that can't be read ({exc})") from exc


def _find_directory(file: Stream) -> tuple[int, int, int]:
    """Return the number of entries, where the first one is, and by how much all offsets are shifted."""
    size = file.seek(0, 2)
    tail_size = min(size, _MOST_COMMENT + _END_FORM.size + _LOCATOR_FORM.size)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    at = tail.rfind(_END)
    end = _unpack(_END_FORM, tail[at : at + _END_FORM.size] if at >= 0 else b"", _END)
    count, length, offset = end[4], end[5], end[6]
    place = size - tail_size + at
    locator = tail[max(0, at - _LOCATOR_FORM.size) : max(0, at)]
    if locator.startswith(_LOCATOR):
        file.seek(max(0, place - _LOCATOR_FORM.size - _END_64_FORM.size))
        end_64 = _unpack(_END_64_FORM, file.read(_END_64_FORM.size), _END_64)
        count, length, offset = end_64[7], end_64[8], end_64[9]
        place -= _LOCATOR_FORM.size + _END_64_FORM.size
    start = place - length  # behind anything that was put before the archive
    if start < 0 or start < offset:
        raise BadZipFile("its directory is damaged")
    return count, start, start - offset


def _entry(fields: tuple[int, ...], name: bytes, extra: bytes, shift: int) -> ZipEntry:
    flags, method, checksum, packed_size, size = fields[3], fields[4], *fields[7:10]
    size, packed_size, offset = _large_numbers(extra, size, packed_size, fields[16])
    return ZipEntry(
        name=_decode(name, is_utf8=bool(flags & _UTF_8)),
        offset=offset + shift,
        size=size,
        packed_size=packed_size,
        method=method,
        checksum=checksum,
        mode=fields[15] >> 16,
        is_encrypted=bool(flags & _ENCRYPTED),
    )


def _large_numbers(extra: bytes, *numbers: int) -> list[int]:
    """Return numbers, those that don't fit into 32 bits from the field that holds them in their order."""
    at, large = 0, b""
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == _EXTRA_64:
            large = extra[at + 4 : at + 4 + length]
        at += 4 + length
    values = iter([value for (value,) in struct.iter_unpack("<Q", large[: len(large) // 8 * 8])])
    return [next(values, number) if number == _LARGE else number for number in numbers]


def _decode(name: bytes, *, is_utf8: bool) -> str:
    """Return a name as text; archives of Macs hold UTF-8 without saying so."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("utf-8", "surrogateescape") if is_utf8 else name.decode("cp437")


def _unpack(form: struct.Struct, data: bytes, signature: bytes) -> tuple[int, ...]:
    if len(data) != form.size or not data.startswith(signature):
        raise BadZipFile("it is no zip archive, or is cut off")
    return form.unpack(data)
