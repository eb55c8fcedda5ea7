"""Progress: a bar on a terminal, a line now and then in a log, so that cron's mail stays short."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

import anyio

from pipeline.report.tally import Tally

if TYPE_CHECKING:
    from rich.console import Console

LINE_SECONDS = 60.0
OFTEN_LINES = 10  # so many at that interval; after them one in ten is enough
BAR_SECONDS = 0.25
WaitsFor = Callable[[], str]


def progress_for(*, quiet: bool) -> Callable[[Tally, WaitsFor], Coroutine[None, None, None]] | None:
    """Return what shows the progress here: a bar, lines, or nothing."""
    if quiet:
        return None
    return show_bar if sys.stderr.isatty() else show_lines


async def show_lines(tally: Tally, waits_for: WaitsFor) -> None:
    """Write a line to stderr each minute, and each tenth minute once there are ten."""
    started = anyio.current_time()
    lines = 0
    while True:
        await anyio.sleep(LINE_SECONDS if lines < OFTEN_LINES else 10 * LINE_SECONDS)
        lines += 1
        said = line(tally, anyio.current_time() - started, waits_for())
        print(said, file=sys.stderr, flush=True)  # noqa: T201 - its purpose


async def show_bar(tally: Tally, waits_for: WaitsFor, console: Console | None = None) -> None:
    """Show rows, rate, failures, what is waited for and the time left on stderr until cancelled.

    The manifest is read lazily, so the total and the time left are those of the rows read so far.
    """
    from rich import progress  # noqa: PLC0415 - under cron there is no bar, and the first request need not wait for one
    from rich.console import Console  # noqa: PLC0415 - likewise

    counts = (progress.MofNCompleteColumn(), progress.TimeRemainingColumn())
    columns = (progress.SpinnerColumn(), progress.TextColumn("{task.description}"), *counts)
    started = anyio.current_time()
    with progress.Progress(*columns, console=console or Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")
        while True:
            said = line(tally, anyio.current_time() - started, waits_for())
            bar.update(task, completed=tally.judged, total=tally.seen, description=said)
            await anyio.sleep(BAR_SECONDS)


def line(tally: Tally, seconds: float, waits_for: str = "") -> str:
    """Return where a run of so many seconds stands, in one line; the rate is that of the rows tried in it."""
    rate = tally.tried / seconds if seconds else 0.0
    records = tally.ok + tally.empty
    said = f"{records} records, {tally.failures} failed, {tally.done_before} done before, {rate:.1f} rows/s"
    return f"{said}; {waits_for}" if waits_for else said
