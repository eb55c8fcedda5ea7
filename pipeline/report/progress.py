"""Progress: a bar on a terminal, one line a minute in a log, so that cron's mail stays short."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine

import anyio
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from pipeline.report.tally import Tally

LINE_SECONDS = 60.0
BAR_SECONDS = 0.25


def progress_for(*, quiet: bool) -> Callable[[Tally], Coroutine[None, None, None]] | None:
    """Return what shows the progress here: a bar, lines, or nothing."""
    if quiet:
        return None
    return show_bar if sys.stderr.isatty() else show_lines


async def show_lines(tally: Tally) -> None:
    """Write a line a minute to stderr."""
    started = anyio.current_time()
    while True:
        await anyio.sleep(LINE_SECONDS)
        print(line(tally, anyio.current_time() - started), file=sys.stderr, flush=True)  # noqa: T201 - its purpose


async def show_bar(tally: Tally, console: Console | None = None) -> None:
    """Show rows, rate, failures and time left on stderr until cancelled.

    The manifest is read lazily, so the total and the time left are those of the rows read so far.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
    started = anyio.current_time()
    with Progress(*columns, console=console or Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")
        while True:
            said = line(tally, anyio.current_time() - started)
            bar.update(task, completed=tally.judged, total=tally.seen, description=said)
            await anyio.sleep(BAR_SECONDS)


def line(tally: Tally, seconds: float) -> str:
    """Return where a run of so many seconds stands, in one line; the rate is that of the rows tried in it."""
    rate = tally.tried / seconds if seconds else 0.0
    records = tally.ok + tally.empty
    return f"{records} records, {tally.failures} failed, {tally.done_before} done before, {rate:.1f} rows/s"
