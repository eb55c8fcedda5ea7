"""The lines of a job as they are now, records and failures alike, in the order of the manifest.

They may be read beside a run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from pipeline.errors import OutputError
from pipeline.resume.keys import row_key
from pipeline.sink.job_files import STATES, must_exist, read_state
from pipeline.state.ledger import State
from pipeline.state.output_files import OutputFiles

_NAMES = {state: name for name, states in STATES.items() for state in states}
_ATTEMPTS = 5
Line = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentLine:
    """A row's record or failure as `content`, and where it is: `length` bytes of its file from `offset` on."""

    row_key: bytes
    is_record: bool
    offset: int
    length: int
    content: Line = field(repr=False)


class JobLines:
    """The records and failures of one job at one moment; `files` maps the names of its files to open descriptors."""

    def __init__(self, folder: Path, places: OutputFiles, files: dict[str, int]) -> None:
        self._folder = folder
        self._places = places
        self._files = files

    def current(self) -> Iterator[CurrentLine]:
        """Yield the line of each row that has one; raises OutputError where one is not what was written."""
        for key, state, offset, length in self._places.in_manifest_order():
            yield CurrentLine(
                row_key=key,
                is_record=state is State.DONE,
                offset=offset,
                length=length,
                content=self._content(state, offset, length),
            )

    def in_manifest_order(self) -> Iterator[tuple[bytes, Line]]:
        """Yield each row's key and line; the `status` of a failure is "failed".

        A line without an id of its own is no row, and left out. Raises OutputError where one is not what was written.
        """
        for key, state, offset, length in self._places.in_manifest_order():
            line = self._read(key, state, offset, length)
            if line is not None:
                yield key, line

    def line(self, key: bytes) -> Line | None:
        """Return the line of a row, None where it has none; raises OutputError where it is not what was written."""
        place = self._places.place(key)
        return None if place is None else self._read(key, *place)

    def _read(self, key: bytes, state: State, offset: int, length: int) -> Line | None:
        line = self._content(state, offset, length)
        row_id, is_record = line.get("id"), state is State.DONE
        is_own = isinstance(row_id, str) and row_key(row_id) == key
        if is_record and not is_own:
            raise self._changed(_NAMES[state])
        return (line if is_record else {**line, "status": "failed"}) if is_own else None

    def _content(self, state: State, offset: int, length: int) -> Line:
        name = _NAMES[state]
        try:
            line = orjson.loads(os.pread(self._files[name], length, offset))
        except (OSError, orjson.JSONDecodeError) as exc:
            raise self._changed(name) from exc
        if not isinstance(line, dict):
            raise self._changed(name)
        return line

    def _changed(self, name: str) -> OutputError:
        path = self._folder / name
        return OutputError(
            f"{path} is not what was written there (was it edited?); run the job again, which puts it right"
        )


@contextmanager
def read_lines(folder: Path) -> Iterator[JobLines]:
    """Open the lines of the job in `folder`; raises UsageError where there is none, and OutputError."""
    must_exist(folder)
    with read_state(folder) as state, state.database.reading() as reader:
        for _ in range(_ATTEMPTS):
            with ExitStack() as opened:
                files = {name: _open(folder / name, opened) for name in STATES}
                reader.execute("BEGIN")
                opened.callback(reader.execute, "COMMIT")
                reader.execute("SELECT 1 FROM meta").fetchone()  # from here on, no commit of a run is seen
                if all(_is_current(state.files, folder / name, file) for name, file in files.items()):
                    yield JobLines(folder, state.files, files)
                    return
    raise OutputError(f"the files in {folder} are being replaced; wait for the run, or run again if it was killed")


def current_lines(folder: Path) -> Iterator[CurrentLine]:
    """Yield the current line of each row of the job in `folder`, in flat memory; raises as `read_lines` does."""
    with read_lines(folder) as job:
        yield from job.current()


def _open(path: Path, opened: ExitStack) -> int:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        raise OutputError(f"{path} can't be read ({exc.strerror}); run the job again, which makes it again") from exc
    opened.callback(os.close, file)
    return file


def _is_current(files: OutputFiles, path: Path, file: int) -> bool:
    """Return True if the open file is the one that the state speaks of, and not one that a run has replaced."""
    try:
        return files.moving(path.name) is None and os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False
