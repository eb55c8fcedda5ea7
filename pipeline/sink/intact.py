"""Checks that an output file that has changed still holds the lines that were committed."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

from pipeline.errors import OutputError
from pipeline.resume.keys import row_key
from pipeline.state.ledger import State
from pipeline.state.output_files import OutputFiles

_PIECE = 1 << 20


def check_lines(files: OutputFiles, path: Path, states: Sequence[State], length: int) -> None:
    """Read each line that counts in the first `length` bytes; raises OutputError at the first that isn't its row's.

    A line that was edited, glued to another or moved is never taken for what was written.
    """
    with _mapped(path) as data:
        for key, offset, size in files.lines(states):
            if offset + size <= length and not _is_whole(data, key, offset, size, by_id=State.DONE in states):
                raise OutputError(
                    f"{path}, line {_line(data, offset)}, is not what was written there (was the file edited?); move "
                    "the file away and run again: its lines are made again from stored answers, without a call"
                )


def _line(data: bytes | mmap.mmap, offset: int) -> int:
    """Return the number of the line at `offset`, from 1."""
    return 1 + sum(data[start : min(start + _PIECE, offset)].count(b"\n") for start in range(0, offset, _PIECE))


def _is_whole(data: bytes | mmap.mmap, key: bytes, offset: int, size: int, *, by_id: bool) -> bool:
    """Return True if a line begins and ends in its place and, `by_id`, is of the row with this key."""
    line = data[offset : offset + size]
    if (offset and data[offset - 1 : offset] != b"\n") or line.find(b"\n") != size - 1:
        return False
    try:
        read = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(read, dict) and (not by_id or row_key(str(read.get("id"))) == key)


@contextmanager
def _mapped(path: Path) -> Iterator[bytes | mmap.mmap]:
    """Give the content of a file without reading it into memory; nothing where it is empty or gone."""
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                yield b""
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield data
    except FileNotFoundError:
        yield b""
    except OSError as exc:
        raise OutputError(f"{path} can't be read ({exc.strerror}); fix that and run again") from exc
