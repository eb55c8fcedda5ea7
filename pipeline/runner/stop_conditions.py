"""What may end a run before its manifest does: the deadline, too many failures, missing pictures, a stall."""

from __future__ import annotations

import faulthandler
import io
import os
from asyncio import all_tasks
from collections import Counter
from collections.abc import Callable
from datetime import datetime, time, timedelta
from pathlib import Path

import anyio

from pipeline.config import Share
from pipeline.errors import DeadlineReached, PicturesMissing, Stalled, TooManyFailures
from pipeline.guards.private_files import PRIVATE, open_file
from pipeline.report.tally import Tally
from pipeline.runner.policies import Deadline
from pipeline.runner.stop import Stop

FAULTS_IN_A_ROW = 5  # each has used up its attempts, with longer and longer pauses between them
MISSING_IN_A_ROW = 10  # pictures that had their records
_LOOK_SECONDS = 5.0


async def at_deadline(stop: Stop, deadline: Deadline, started: datetime) -> None:
    """Ask to stop `max_runtime` after `started` (aware), or at the local time `stop_at`, whichever comes first.

    The wall clock is looked at again and again, so that a change of it, or of daylight saving, is followed.
    """
    begun = anyio.current_time()
    until = next_time(deadline.stop_at, started) if deadline.stop_at else None
    spent = (datetime.now().astimezone() - started).total_seconds()
    while deadline.max_runtime or until:
        left = [_LOOK_SECONDS]
        if deadline.max_runtime:
            left.append(begun + deadline.max_runtime - spent - anyio.current_time())
        if until:
            left.append((until - datetime.now().astimezone()).total_seconds())
        if min(left) <= 0:
            which = "limits.stop_at" if until and left[-1] <= 0 else "limits.max_runtime"
            stop.ask(DeadlineReached(f"{which} has come; the next run goes on"))
            return
        await anyio.sleep(min(left))


def next_time(of_day: time, now: datetime) -> datetime:
    """Return when the local clock next shows `of_day`, after `now` (aware): today, or tomorrow.

    Where the clock goes back it shows some times twice, and the first one that is left counts. Where it goes forward it
    shows some never: then it is the moment at which they are left out.
    """
    today = now.astimezone().date()
    days = (today + timedelta(days=ahead) for ahead in range(3))
    return next(then for day in days for then in _instants(datetime.combine(day, of_day)) if then > now)


def _instants(shown: datetime) -> list[datetime]:
    """Return when the local clock shows a naive time, earliest first: once, twice, or where it skips it."""
    first, second = shown.astimezone(), shown.replace(fold=1).astimezone()
    if first.replace(tzinfo=None) == shown:
        return [first] if first == second else [first, second]
    # In a gap, the one is by the offset before it and the other by that after it: the change lies between them.
    before, after = sorted((first.timestamp(), second.timestamp()))
    offset = datetime.fromtimestamp(before).astimezone().utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle).astimezone().utcoffset() == offset:
            before = middle
        else:
            after = middle
    return [datetime.fromtimestamp(after).astimezone()]


def judge_failures(stop: Stop, tally: Tally, max_failed: Share) -> None:
    """Ask to stop where too many of this run's rows failed, or too many in a row on the way to the service.

    Rows that keep their record are not counted: a few deleted pictures would else end every night. Many that vanish at
    once end the run.
    """
    failed, tried = tally.failed - tally.missing, tally.tried - tally.missing.total()
    if max_failed.exceeded(failed.total(), tried):
        stop.ask(_too_many(failed, tried))
    elif tally.missing_in_a_row >= MISSING_IN_A_ROW and _looks_unmounted(tally):
        stop.ask(_missing(tally))
    elif tally.faults_in_a_row >= FAULTS_IN_A_ROW:
        stop.ask(
            TooManyFailures(
                f"{FAULTS_IN_A_ROW} rows one after another got no answer; is the service up? see failures.jsonl"
            )
        )


def judge_whole(stop: Stop, tally: Tally, max_failed: Share) -> None:
    """At the end of a run, ask for exit code 3 where too many rows of the manifest have failed, now or before."""
    if max_failed.exceeded(tally.failures, tally.finished) and 2 * tally.missing.total() > tally.failures:
        stop.ask(_missing(tally))
    elif max_failed.exceeded(tally.failures, tally.finished):
        stop.ask(_too_many(tally.failed + tally.failed_before, tally.finished))


def _too_many(failed: Counter[str], rows: int) -> TooManyFailures:
    code, count = failed.most_common(1)[0]
    return TooManyFailures(
        f"{failed.total()} of {rows} rows failed, more than output.max_failed allows "
        f"(most often {code}, {count} times); see failures.jsonl"
    )


def _looks_unmounted(tally: Tally) -> bool:
    """Return True if no picture was there so far, or if what is left of the missing one's folder is empty.

    An empty mount point is all that is left of a disk or a share that is not mounted.
    """
    if not tally.done_before and not tally.passed + tally.encoded:
        return True
    folder = Path(tally.missing_path).parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        return not any(folder.iterdir())
    except OSError:
        return True


def _missing(tally: Tally) -> PicturesMissing:
    where = f" in {Path(tally.missing_path).parent}" if tally.missing_path else ""
    code, _ = tally.missing.most_common(1)[0]
    return PicturesMissing(
        f"{tally.missing.total()} pictures that have a record can't be read any more{where} ({code}); is it mounted? "
        "Every record was kept; if the pictures are gone for good, take their rows out of the manifest"
    )


async def on_stall(
    stop: Stop, tally: Tally, limit: float, waits: Callable[[], bool], log: Path, give_up: Callable[[], None]
) -> None:
    """Write every task's stack to `log` and give up when nothing moved for `limit` seconds, but for known `waits`."""
    moved, since = tally.moved, anyio.current_time()
    while True:
        await anyio.sleep(min(_LOOK_SECONDS, limit / 4))
        if tally.moved != moved or waits():
            moved, since = tally.moved, anyio.current_time()
        elif anyio.current_time() - since >= limit:
            _write_private(log, stacks())  # nothing moves any more, so nothing is held up
            stop.ask(Stalled(f"nothing moved for {limit:.0f} s; where each task stood is in {log}"))
            give_up()
            return


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(open_file(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE), "w", encoding="utf-8") as file:
        file.write(text)


def stacks() -> str:
    """Return the stack of every task of this event loop and of every thread, to find out what hangs."""
    text = io.StringIO()
    for task in all_tasks():
        task.print_stack(file=text)
    with open(os.memfd_create("stacks"), "w+", encoding="utf-8") as threads:  # noqa: PTH123 - faulthandler wants a descriptor
        faulthandler.dump_traceback(file=threads, all_threads=True)
        threads.seek(0)
        return text.getvalue() + threads.read()
