"""A table's physical lines: decoded lazily, one at a time, and what makes one unreadable in every format."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterator
from functools import partial

from pipeline.errors import LineError, TableError
from pipeline.tabular.compression import DAMAGED

MAX_LINE_CHARS = 1_000_000
_SURROGATE = re.compile("[\udc80-\udcff]")


def as_text(binary: io.BufferedReader | gzip.GzipFile, encoding: str) -> io.TextIOWrapper:
    """Decode a stream; bytes that can't be decoded become lone surrogates, so that only their own line fails."""
    return io.TextIOWrapper(binary, encoding=encoding, errors="surrogateescape", newline="")


def physical_lines(stream: io.TextIOWrapper, place: str) -> Iterator[str]:
    """Yield line after line, each cut at MAX_LINE_CHARS, without a byte order mark.

    Raises TableError with the number of the last line where the file can't be read on (I/O, compression).
    """
    count = 0
    try:
        for line in iter(partial(stream.readline, MAX_LINE_CHARS), ""):
            if not count:
                line = _without_mark(line, place)
            count += 1
            if len(line) == MAX_LINE_CHARS:
                _skip_rest(stream, line)
            yield line
    except (OSError, *DAMAGED) as exc:
        raise TableError(f"{place}: can't be read on after line {count}: {exc}") from exc


def check_line(line: str) -> None:
    """Raise LineError where a physical line is too long, holds a NUL, or holds bytes that can't be decoded."""
    if len(line) >= MAX_LINE_CHARS:
        raise LineError("bad-line", f"the line has more than {MAX_LINE_CHARS:,} characters")
    if "\0" in line:
        raise LineError("bad-line", "the line holds a NUL byte")
    if not line.isascii() and _SURROGATE.search(line):
        raise LineError("bad-encoding", "the line is not UTF-8; save the file as UTF-8")


def _without_mark(line: str, place: str) -> str:
    if line.startswith(("\udcff\udcfe", "\udcfe\udcff")):
        raise TableError(f"{place}: is UTF-16; save it as UTF-8")
    return line.removeprefix("\ufeff")


def _skip_rest(stream: io.TextIOWrapper, line: str) -> None:
    while line and line[-1] not in "\r\n":
        line = stream.readline(MAX_LINE_CHARS)
