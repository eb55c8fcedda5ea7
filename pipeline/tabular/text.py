"""A manifest's physical lines: plain, .gz, .zst or stdin, decoded lazily, one at a time."""

from __future__ import annotations

import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from select import select

import zstandard

from pipeline.errors import LineError, ManifestError

MAX_LINE_CHARS = 1_000_000
_SURROGATE = re.compile("[\udc80-\udcff]")
_POLL_SECONDS = 0.2
# A zstd block of a few bytes may stand for 128 KiB, so little is fed at a time: memory stays flat whatever the file is.
_ZSTD_FEED_BYTES = 2048


class StandardInput(io.RawIOBase):
    """A file descriptor that can be closed while a thread waits for its next byte, so that a run can always stop."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stopped = False

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def stop(self) -> None:
        """End the stream for whoever waits for it."""
        self._stopped = True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # typeshed's Buffer needs 3.12
        """Wait for bytes; 0 at the end or once stopped."""
        while not self._stopped:
            if select([self._descriptor], [], [], _POLL_SECONDS)[0]:
                data = os.read(self._descriptor, len(buffer))
                buffer[: len(data)] = data
                return len(data)
        return 0


class ZstdFile(io.RawIOBase):
    """The content of a .zst file of one or more frames; EOFError where the last one is cut short.

    (zstandard's own reader ends a truncated file like a whole one.)
    """

    def __init__(self, raw: io.BufferedReader) -> None:
        self._raw = raw
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def close(self) -> None:
        """Close the compressed file too."""
        self._raw.close()
        super().close()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # typeshed's Buffer needs 3.12
        """Give what is decompressed; 0 at the end."""
        while not self._ready:
            data = self._raw.read(_ZSTD_FEED_BYTES)
            if not data:
                if self._frame is not None:
                    raise EOFError("the compressed file ends before its end-of-stream marker was reached")
                return 0
            self._ready = memoryview(self._decompress(data))
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _decompress(self, data: bytes) -> bytes:
        chunks = []
        while data:
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            chunks.append(self._frame.decompress(data))
            data = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
        return b"".join(chunks)


COMPRESSIONS = (".gz", ".zst")


def open_text(path: Path) -> io.TextIOWrapper:
    """Open a manifest as text, decompressed by its suffix; raises OSError."""
    match path.suffix.lower():
        case ".gz":
            return as_text(gzip.GzipFile(path))
        case ".zst":
            return as_text(io.BufferedReader(ZstdFile(path.open("rb"))))
        case _:
            return as_text(path.open("rb"))


def as_text(binary: io.BufferedReader | gzip.GzipFile) -> io.TextIOWrapper:
    """Decode as UTF-8; bytes that are none become lone surrogates, so that only their own line fails."""
    return io.TextIOWrapper(binary, encoding="utf-8", errors="surrogateescape", newline="")


def physical_lines(stream: io.TextIOWrapper, place: str) -> Iterator[str]:
    """Yield line after line, each cut at MAX_LINE_CHARS, without a byte order mark.

    Raises ManifestError, naming the line reached, where the file can't be read on (I/O, compression).
    """
    reached = 0
    try:
        for line in iter(partial(stream.readline, MAX_LINE_CHARS), ""):
            if not reached:
                line = _without_mark(line, place)
            reached += 1
            if len(line) == MAX_LINE_CHARS:
                _skip_rest(stream, line)
            yield line
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as exc:
        raise ManifestError(f"{place}: can't be read on after line {reached}: {exc}") from exc


def check_line(line: str) -> None:
    """Raise LineError where a physical line can't be understood, whatever its format."""
    if len(line) >= MAX_LINE_CHARS:
        raise LineError("bad-line", f"the line has more than {MAX_LINE_CHARS:,} characters")
    if "\0" in line:
        raise LineError("bad-line", "the line holds a NUL byte")
    if not line.isascii() and _SURROGATE.search(line):
        raise LineError("bad-encoding", "the line is not UTF-8; save the manifest as UTF-8")


def _without_mark(line: str, place: str) -> str:
    if line.startswith(("\udcff\udcfe", "\udcfe\udcff")):
        raise ManifestError(f"{place}: is UTF-16; save it as UTF-8")
    return line.removeprefix("\ufeff")


def _skip_rest(stream: io.TextIOWrapper, line: str) -> None:
    while line and line[-1] not in "\r\n":
        line = stream.readline(MAX_LINE_CHARS)
