"""Reads the line that counts of each row, records and failures alike, in the order of the manifest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from pipeline.errors import OutputError, UsageError
from pipeline.sink.job_files import DATABASE, STATES, read_state
from pipeline.state.ledger import State


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentLine:
    """A row's record or failure as `content`, and where it is: `length` bytes of its file from `offset` on."""

    row_key: bytes
    is_record: bool
    offset: int
    length: int
    content: dict[str, Any] = field(repr=False)


def current_lines(folder: Path) -> Iterator[CurrentLine]:
    """Yield the current line of each row of the job in `folder`, in flat memory; a run may be going on.

    Raises UsageError where there is no job, and OutputError where a file can't be read, or is replaced meanwhile.
    """
    if not (folder / DATABASE).exists():
        raise UsageError(f"{folder} holds no job yet; begin it with: image-insights run")
    with read_state(folder) as state, ExitStack() as opened:
        files = {name: file for name in STATES if (file := _opened(folder / name, opened)) is not None}
        by_state = {each: name for name, states in STATES.items() for each in states}
        for row_key, state_of_row, offset, length in state.files.in_manifest_order():
            name = by_state[state_of_row]
            content = _content(files.get(name), folder / name, offset, length)
            is_record = state_of_row is State.DONE
            yield CurrentLine(row_key=row_key, is_record=is_record, offset=offset, length=length, content=content)


def _opened(path: Path, opened: ExitStack) -> BinaryIO | None:
    try:
        return opened.enter_context(path.open("rb"))
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise OutputError(f"{path} can't be read ({exc.strerror}); fix that and run the command again") from exc


def _content(file: BinaryIO | None, path: Path, offset: int, length: int) -> dict[str, Any]:
    """Return the line at `offset`; anything else than a whole line of JSON shows that the file isn't what it was."""
    line = b""
    if file is not None:
        file.seek(offset)
        line = file.read(length)
    try:
        content = orjson.loads(line) if line.endswith(b"\n") else None
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise OutputError(
            f"{path} is not what the job wrote: a run is replacing it now, or it was edited; try again when no run is "
            "going on, or let the next run check it"
        )
    return content
