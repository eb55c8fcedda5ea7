"""The files of one job in its output folder: lock, state.db, insights.jsonl, failures.jsonl, changes.jsonl.

Opening makes them agree, whatever killed the run before: a replacement that had begun is finished, lines past the
committed length are cut off (their rows are rebuilt from stored answers), rows whose lines are gone are put back. A
file that someone else changed is checked line by line, and never written to where a line is not what it was.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import JobLocked, OutputError, UsageError
from pipeline.guards.private_files import PRIVATE, follow_own_links, open_file
from pipeline.sink.compact import finish_move
from pipeline.sink.intact import check_lines
from pipeline.sink.output import JsonLines, Reserve, changed, size
from pipeline.sink.thumbnails import Thumbnails
from pipeline.state.job_state import JobState, open_state
from pipeline.state.ledger import FAILED_STATES, State
from pipeline.state.migrations import is_empty, is_outdated, migrate
from pipeline.state.output_files import OutputFiles

DATABASE = "state.db"
INSIGHTS = "insights.jsonl"
FAILURES = "failures.jsonl"
CHANGES = "changes.jsonl"
STATES = {INSIGHTS: (State.DONE,), FAILURES: FAILED_STATES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An open job; only the holder of its lock has one. `outputs` have the lines of rows, by name."""

    folder: Path
    state: JobState
    outputs: dict[str, JsonLines]
    changes: JsonLines
    reserve: Reserve
    thumbnails: Thumbnails


def must_exist(folder: Path) -> None:
    """Raise UsageError where `folder` holds no job; nothing is made."""
    if not size(folder / DATABASE) and not size(folder / INSIGHTS):
        raise UsageError(f"{folder} holds no job; check output.dir, or begin one there with: image-insights run")


@contextmanager
def open_job(folder: Path) -> Iterator[Job]:
    """Lock and open the job in `folder`; raises JobLocked where another run holds it, OutputError if unusable."""
    with _locked(folder):
        database = folder / DATABASE
        for name in (*STATES, CHANGES):
            follow_own_links(folder / name)
        if size(folder / INSIGHTS) and is_empty(database):
            raise OutputError(
                f"{folder / INSIGHTS} exists without its ledger {database}; restore state.db from a copy. If "
                "you move insights.jsonl away instead, every picture is paid for again"
            )
        with ExitStack() as opened:
            state = opened.enter_context(open_state(database))
            reserve = Reserve(folder / "reserve")
            opened.callback(reserve.release)
            outputs = {name: opened.enter_context(closing(_recover(folder, state.files, name))) for name in STATES}
            changes = opened.enter_context(closing(_recover_changes(folder, state.files)))
            thumbnails = Thumbnails(folder)
            yield Job(
                folder=folder, state=state, outputs=outputs, changes=changes, reserve=reserve, thumbnails=thumbnails
            )


@contextmanager
def read_state(folder: Path) -> Iterator[JobState]:
    """Open the state of the job in `folder` beside a run that may be going on.

    One of an older layout is migrated first, which takes the job's lock; raises JobLocked where a run holds it.
    """
    database = folder / DATABASE
    if is_outdated(database):
        with _locked(folder):
            migrate(database)
    with open_state(database) as state:
        yield state


def _recover(folder: Path, files: OutputFiles, name: str) -> JsonLines:
    path = follow_own_links(folder / name)
    finish_move(files, name, path)
    committed, length = files.committed(name), size(path)
    if committed and changed(path) != files.changed(name):
        check_lines(files, path, STATES[name], min(length, committed))
    if length < committed:
        committed = files.cut(name, STATES[name], length)
    lines = JsonLines(path, committed)
    files.note_change(name, lines.changed())
    return lines


def _recover_changes(folder: Path, files: OutputFiles) -> JsonLines:
    """Cut off the changes that were not committed; a file that somebody shortened or moved away goes on from there."""
    path = follow_own_links(folder / CHANGES)
    committed = min(files.committed(CHANGES), size(path))
    if committed < files.committed(CHANGES):
        files.commit({CHANGES: committed}, {}, 0)
    return JsonLines(path, committed)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the job's flock; the system releases it when the holder dies, however it dies."""
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = open_file(path, os.O_RDWR | os.O_CREAT, PRIVATE)
    except OSError as exc:
        raise OutputError(f"{folder} can't be written ({exc.strerror}); check output.dir and its permissions") from exc
    try:
        _take_lock(fd, path)
        yield
    finally:
        os.close(fd)


def _take_lock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 20, 0).decode().strip() or "unknown"
        raise JobLocked(f"another run (process {holder}) is working on {path.parent}; it holds {path}") from None
    with suppress(OSError):  # on a full disk the lock holds as well, without saying whose it is
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
