"""The files of one job in its output folder: lock, ledger, stored answers, insights.jsonl, failures.jsonl.

Opening brings them to one state, whatever killed the run before: a replacement that had begun is ended, lines past the
committed length are cut off (their rows are rebuilt from stored answers), rows whose lines are gone are put back. A
file that someone else changed is looked at line by line, and never written to where a line is not what it was.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import JobLocked, OutputError, UsageError
from pipeline.sink.compact import end_move
from pipeline.sink.intact import check_lines
from pipeline.sink.output import JsonLines, Reserve, changed, size
from pipeline.state.answers import AnswerStore
from pipeline.state.ledger import FAILED_STATES, Ledger, State

LEDGER = "state.db"
INSIGHTS = "insights.jsonl"
FAILURES = "failures.jsonl"
STATES = {INSIGHTS: (State.DONE,), FAILURES: FAILED_STATES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An open job; only the holder of its lock has one."""

    folder: Path
    ledger: Ledger
    answers: AnswerStore
    outputs: dict[str, JsonLines]
    reserve: Reserve


def must_exist(folder: Path) -> None:
    """Raise UsageError where `folder` holds no job; nothing is made."""
    if not size(folder / LEDGER) and not size(folder / INSIGHTS):
        raise UsageError(f"{folder} holds no job; check output.dir, or begin one there with: image-insights run")


@contextmanager
def open_job(folder: Path) -> Iterator[Job]:
    """Lock and open the job in `folder`; raises JobLocked where another run holds it, OutputError if unusable."""
    with _locked(folder):
        state = folder / LEDGER
        if not size(state) and size(folder / INSIGHTS):
            raise OutputError(
                f"{folder / INSIGHTS} exists without its ledger {state}; restore state.db, or move the file away"
            )
        with ExitStack() as opened:
            ledger = opened.enter_context(closing(Ledger(state)))
            answers = opened.enter_context(closing(AnswerStore(state)))
            reserve = Reserve(folder / "reserve")
            opened.callback(reserve.release)
            outputs = {name: opened.enter_context(closing(_recover(folder, ledger, name))) for name in STATES}
            yield Job(folder=folder, ledger=ledger, answers=answers, outputs=outputs, reserve=reserve)


def _recover(folder: Path, ledger: Ledger, name: str) -> JsonLines:
    path = folder / name
    end_move(ledger, path)
    committed, found = ledger.committed(name), size(path)
    if committed and changed(path) != ledger.changed(name):
        check_lines(ledger, path, STATES[name], min(found, committed))
    if found < committed:
        committed = ledger.cut(name, STATES[name], found)
    lines = JsonLines(path, committed)
    ledger.note_change(name, lines.changed())
    return lines


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the job's flock; the system lets go of it when the holder dies, however it dies."""
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
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
