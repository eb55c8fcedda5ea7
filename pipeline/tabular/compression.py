"""Opens a file for reading and decompresses it by its suffix; a file that is cut short raises an error at the cut."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import PurePath
from typing import IO, Protocol, cast

import zstandard

from pipeline.tabular.location import open_location

COMPRESSIONS = (".gz", ".zst")
# What reading a compressed file may raise, beside OSError.
DAMAGED = (EOFError, zlib.error, zstandard.ZstdError)
# A zstd block of a few bytes may stand for 128 KiB, so little is fed at a time: memory stays flat for any file.
_FEED_BYTES = 2048


class Binary(Protocol):
    """A stream of bytes, as far as tables need one."""

    def read1(self, size: int = -1, /) -> bytes: ...  # noqa: D102 - as of the io module
    def close(self) -> None: ...  # noqa: D102 - likewise


def open_binary(path: str) -> Binary:
    """Open the content of a plain, .gz or .zst file (suffixes in any case), here or in the cloud; raises OSError."""
    raw = open_location(path)
    match PurePath(path).suffix.lower():
        case ".gz":
            return GzipContent(raw)
        case ".zst":
            return io.BufferedReader(ZstdFile(raw))
        case _:
            return cast("Binary", raw)


class GzipContent(gzip.GzipFile):
    """The content of a .gz file, which is closed with it."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        super().__init__(fileobj=raw, mode="rb")

    def close(self) -> None:
        """Close the compressed file too."""
        super().close()
        self._raw.close()


class ZstdFile(io.RawIOBase):
    """The content of a .zst file of one or more frames; EOFError where the last one is cut short.

    (zstandard's own reader ends a truncated file like a whole one.)
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """Return True: it can be read."""
        return True

    def close(self) -> None:
        """Close the compressed file too."""
        self._raw.close()
        super().close()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # typeshed's Buffer needs 3.12
        """Fill `buffer` with decompressed bytes and return their number, 0 at the end."""
        while not self._ready:
            data = self._raw.read(_FEED_BYTES)
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
