"""Replacing an output file by one that holds each row's current line once, safe against a kill at any instant.

First the new file is written beside the old one and its places are committed ("moving"), then it is renamed, then the
places take effect. A run that finds "moving" set ends what was begun.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pipeline.errors import OutputError
from pipeline.sink.output import changed, remove, sync_folder
from pipeline.state.ledger import Ledger, State


def compact(ledger: Ledger, path: Path, states: Iterable[State]) -> int:
    """Rewrite `path` so that only current lines are left, in their order; return the new length in bytes."""
    return rewrite(ledger, path, states, lambda _key, line: line)


def rewrite(ledger: Ledger, path: Path, states: Iterable[State], change: Callable[[bytes, bytes], bytes]) -> int:
    """Rewrite `path` with `change(key, line)` of each current line, in their order; return the new length in bytes."""
    length = ledger.begin_move(path.name, _copied(ledger, path, tuple(states), change))
    end_move(ledger, path)
    return length


def end_move(ledger: Ledger, path: Path) -> None:
    """End a replacement of `path` that has begun, if one has."""
    length = ledger.moving(path.name)
    if length is None:
        return
    try:
        if _beside(path).exists():
            _beside(path).replace(path)
            sync_folder(path.parent)
    except OSError as exc:
        raise OutputError(f"{path} can't be replaced ({exc.strerror}); mend that and run again") from exc
    ledger.finish_move(path.name, length, changed(path))


def _copied(
    ledger: Ledger, path: Path, states: tuple[State, ...], change: Callable[[bytes, bytes], bytes]
) -> Iterator[tuple[bytes, int, int]]:
    """Write the new file while yielding key, place and length of each line; it is synced when this ends."""
    place = 0
    try:
        with path.open("rb") as old, _beside(path).open("wb") as new:
            for key, start, length in ledger.lines(states):
                old.seek(start)
                line = change(key, old.read(length))
                new.write(line)
                yield key, place, len(line)
                place += len(line)
            new.flush()
            os.fsync(new.fileno())
    except OSError as exc:
        remove(_beside(path))
        raise OutputError(f"{_beside(path)} can't be written ({exc.strerror}); {path} is untouched") from exc
    except BaseException:  # a signal: nothing is committed yet
        remove(_beside(path))
        raise


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".new")
