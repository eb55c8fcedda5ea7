"""A table's physical lines: decoded lazily, one at a time, and what makes one unreadable in every format."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from functools import partial
from typing import Final

from pipeline.errors import LineError, TableError
from pipeline.tabular.compression import DAMAGED, Binary

MAX_LINE_CHARS = 1_000_000
HEAD_BYTES: Final = 1 << 16
_SURROGATE = re.compile("[\udc80-\udcff]")
_ERRORS = "pipeline.tabular.surrogates"
_EMPTY_LINES = "\n" * HEAD_BYTES
# So many empty lines at least are skipped in one go: a small compressed file may hold hundreds of millions.
_SHORTEST_RUN = 4096


def _as_surrogates(error: UnicodeError) -> tuple[str, int]:
    """Turn bytes that can't be decoded into lone surrogates, as "surrogateescape" does for bytes above 127 only."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + (byte | 0x80)) for byte in bad), error.end


codecs.register_error(_ERRORS, _as_surrogates)


class ReplayedStream(io.RawIOBase):
    """A stream whose first `size` bytes, `head`, are read already: they come first, then the rest.

    Of a stream that `waits` for its next bytes, such as a pipe, only the first line is read ahead. An error that ends
    the head is raised behind it, where it belongs. With `skips_empty_lines`, long runs of them are not given but
    counted: see `take_skipped`.
    """

    skips_empty_lines = False

    def __init__(self, source: Binary, size: int, *, waits: bool = False) -> None:
        self._source = source
        self._error: BaseException | None = None
        self._last = b""
        self._skipped = 0
        self.head = b""
        while len(self.head) < size and not (waits and (b"\n" in self.head or b"\r" in self.head)):
            if not (data := self._try_read(size - len(self.head))):
                break
            self.head += data
        self._left = memoryview(self.head)

    def _try_read(self, size: int) -> bytes:
        try:
            return self._source.read1(size)
        except (OSError, *DAMAGED) as exc:
            self._error = exc
            return b""

    def readable(self) -> bool:
        """Return True: it can be read."""
        return True

    def close(self) -> None:
        """Close the stream itself too."""
        self._source.close()
        super().close()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # typeshed's Buffer needs 3.12
        """Fill `buffer` and return the number of bytes, 0 at the end."""
        data: bytes | memoryview
        if self._left:
            data, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        elif self._error is not None:
            raise self._error
        else:
            data = self._source.read1(len(buffer))
            while self._is_run(data):
                self._skipped += len(data)
                data = self._source.read1(len(buffer))
        buffer[: len(data)] = data
        self._last = bytes(data[-1:])
        return len(data)

    def take_skipped(self) -> int:
        """Return how many empty lines were skipped since the last call, right before the line that is read next."""
        skipped, self._skipped = self._skipped, 0
        return skipped

    def _is_run(self, data: bytes) -> bool:
        """Return True for empty lines only, and no line before them that they could belong to."""
        if not self.skips_empty_lines or self._last != b"\n" or len(data) < _SHORTEST_RUN or not data.endswith(b"\n"):
            return False
        return data.count(b"\n") == len(data)


def physical_lines(binary: ReplayedStream, encoding: str, place: str) -> Iterator[str]:
    """Yield line after line, each cut at MAX_LINE_CHARS, without a byte order mark; long runs of empty lines as one.

    Bytes that can't be decoded become lone surrogates, so that only their own line fails. Raises TableError with the
    number of the last line where the file can't be read on (I/O, compression), or is not in `encoding`.
    """
    binary.skips_empty_lines = "\n\n".encode(encoding) == b"\n\n"
    stream = io.TextIOWrapper(io.BufferedReader(binary, HEAD_BYTES), encoding=encoding, errors=_ERRORS, newline="")
    count = 0
    try:
        for line in iter(partial(stream.readline, MAX_LINE_CHARS), ""):
            if not count:
                line = _without_mark(line, place)
            if run := binary.take_skipped():
                count += run
                yield from _empty_lines(run)
            count += 1
            if len(line) == MAX_LINE_CHARS:
                _skip_rest(stream, line)
            yield line
        yield from _empty_lines(binary.take_skipped())
    except UnicodeError as exc:  # such as of UTF-16 without the mark that says its byte order
        ways_out = 'set it to "auto", or to the encoding of the file, such as "utf-8" or "utf-16-le"'
        raise TableError(f"{place}: is not in the encoding that `encoding` says ({exc}); {ways_out}") from exc
    except (OSError, *DAMAGED) as exc:
        raise TableError(f"{place}: can't be read on after line {count}: {exc}") from exc


def _empty_lines(count: int) -> Iterator[str]:
    """Yield a run of empty lines in pieces, most of them one and the same text in memory."""
    for _ in range(count // len(_EMPTY_LINES)):
        yield _EMPTY_LINES
    if rest := count % len(_EMPTY_LINES):
        yield _EMPTY_LINES[:rest]


def check_line(line: str) -> None:
    """Raise LineError where a physical line is too long, holds a NUL, or holds bytes that can't be decoded."""
    if len(line) >= MAX_LINE_CHARS:
        raise LineError("bad-line", f"the line has more than {MAX_LINE_CHARS:,} characters")
    if "\0" in line:
        raise LineError("bad-line", "the line holds a NUL byte")
    if not line.isascii() and _SURROGATE.search(line):
        ways_out = 'save the file as UTF-8, or name its encoding in the setting `encoding`, such as "cp1252"'
        raise LineError("bad-encoding", f"the line is not UTF-8, or not in the encoding that is set; {ways_out}")


def _without_mark(line: str, place: str) -> str:
    if line.startswith(("\udcff\udcfe", "\udcfe\udcff")):
        raise TableError(f'{place}: is UTF-16; set `encoding` to "auto" or "utf-16"')
    return line.removeprefix("\ufeff")


def _skip_rest(stream: io.TextIOWrapper, line: str) -> None:
    while line and line[-1] not in "\r\n":
        line = stream.readline(MAX_LINE_CHARS)
