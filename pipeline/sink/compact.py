"""Replacing an output file by one that holds each row's current line once, safe against a kill at any instant.

state/output_files.py says how: a run that was killed in between is finished by the next one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import OutputError
from pipeline.guards.private_files import SHARED, open_file, refuse_link, remove, sync
from pipeline.sink.output import changed
from pipeline.state.ledger import State
from pipeline.state.output_files import LinePlace, OutputFiles


def compact(files: OutputFiles, name: str, path: Path, states: Iterable[State]) -> int:
    """Rewrite the output `name` at `path` so that only current lines are left, in order; return its length in bytes."""
    return rewrite(files, name, path, states, lambda _key, line: line)


def rewrite(
    files: OutputFiles, name: str, path: Path, states: Iterable[State], change: Callable[[bytes, bytes], bytes]
) -> int:
    """Rewrite the output `name` at `path` with `change(row_key, line)` of each current line, in order.

    Returns the new length in bytes. The new file has the permissions of the old one.
    """
    length = files.begin_move(name, _copied(files, path, tuple(states), change))
    finish_move(files, name, path)
    return length


def finish_move(files: OutputFiles, name: str, path: Path) -> None:
    """Finish a replacement of `path` that has begun, if one has."""
    length = files.moving(name)
    if length is None:
        return
    refuse_link(_beside(path))
    try:
        if _beside(path).exists():
            _beside(path).replace(path)
            sync(path.parent)
    except OSError as exc:
        raise OutputError(f"{path} can't be replaced ({exc.strerror}); fix that and run again") from exc
    files.finish_move(name, length, changed(path))


def _copied(
    files: OutputFiles, path: Path, states: tuple[State, ...], change: Callable[[bytes, bytes], bytes]
) -> Iterator[LinePlace]:
    """Write the new file while yielding where each line is; it is synced when this ends."""
    offset = 0
    try:
        remove(_beside(path))
        with path.open("rb") as old, _new_beside(path) as new:
            os.fchmod(new.fileno(), os.fstat(old.fileno()).st_mode & 0o777)
            for row_key, old_offset, length in files.lines(states):
                old.seek(old_offset)
                line = change(row_key, old.read(length))
                new.write(line)
                yield row_key, offset, len(line)
                offset += len(line)
            new.flush()
            os.fsync(new.fileno())
    except OSError as exc:
        remove(_beside(path))
        raise OutputError(f"{_beside(path)} can't be written ({exc.strerror}); {path} is untouched") from exc
    except BaseException:  # a signal: nothing is committed yet
        remove(_beside(path))
        raise


def _new_beside(path: Path) -> BinaryIO:
    return os.fdopen(open_file(_beside(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, SHARED), "wb")


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".new")
