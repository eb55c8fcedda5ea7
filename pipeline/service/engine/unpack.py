"""Opens a catalogue's file for reading, unpacked by its suffix; a file that is cut off says so where it ends."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

_FEED_BYTES = 2048


def unpacked(raw: BinaryIO, path: Path) -> BinaryIO:
    """Return the content of `raw`, which raises EOFError where a compressed file ends too early."""
    if path.suffix == ".gz":
        return cast("BinaryIO", gzip.GzipFile(fileobj=raw))
    if path.suffix == ".zst":
        return io.BufferedReader(_Chunks(_zstd_chunks(raw)))
    return raw


class _Chunks(io.RawIOBase):
    """Pieces of bytes as a stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # typeshed's Buffer needs 3.12
        """Give what is left of a piece, or of the next one; 0 at the end."""
        self._left = self._left or memoryview(next(self._chunks, b""))
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _zstd_chunks(raw: BinaryIO) -> Iterator[bytes]:
    """Unpack frame after frame; zstandard's own reader takes a cut file for a whole one."""
    frame: zstandard.ZstdDecompressionObj | None = None
    while data := raw.read(_FEED_BYTES):
        while data:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            if chunk := frame.decompress(data):
                yield chunk
            data = frame.unused_data
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("the compressed file ends before its end-of-stream marker was reached")
