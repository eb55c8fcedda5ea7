"""Show the progress of a run: as a bar on a terminal, else as a few lines, so that cron's mail stays short."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

import anyio

from pipeline.guards.printable import printable
from pipeline.report.tally import Tally
from pipeline.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

LINE_SECONDS = 60.0
MINUTE_LINES = 10  # lines at that interval; after them, the interval is ten times as long
BAR_SECONDS = 0.25
WaitsFor = Callable[[], str]  # returns what the run waits for, or an empty string


def progress_for(*, quiet: bool) -> Callable[[Tally, WaitsFor], Coroutine[None, None, None]] | None:
    """Return the function that shows the progress: as a bar on a terminal, else as lines. None if `quiet`."""
    if quiet:
        return None
    return show_bar if sys.stderr.isatty() else show_lines


async def show_lines(tally: Tally, waits_for: WaitsFor) -> None:
    """Write a line to stderr each minute for ten minutes, then every ten minutes, until cancelled."""
    started = anyio.current_time()
    lines = 0
    while True:
        await anyio.sleep(LINE_SECONDS if lines < MINUTE_LINES else 10 * LINE_SECONDS)
        lines += 1
        text = progress_line(tally, anyio.current_time() - started, waits_for())
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - its purpose


async def show_bar(tally: Tally, waits_for: WaitsFor, console: Console | None = None) -> None:
    """Show a bar with the progress line and the time left on stderr, until cancelled.

    The manifest is read lazily, so the total and the time left are those of the rows read so far.
    """
    from rich import progress  # noqa: PLC0415 - slow to import, and needed on a terminal only
    from rich.console import Console  # noqa: PLC0415 - as above

    counts = (progress.MofNCompleteColumn(), progress.TimeRemainingColumn())
    columns = (progress.SpinnerColumn(), progress.TextColumn("{task.description}", markup=False), *counts)
    started = anyio.current_time()
    with progress.Progress(*columns, console=console or Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")
        while True:
            text = progress_line(tally, anyio.current_time() - started, waits_for())
            bar.update(task, completed=tally.finished, total=tally.seen, description=text)
            await anyio.sleep(BAR_SECONDS)


def progress_line(tally: Tally, seconds: float, waits_for: str = "") -> str:
    """Return the progress of a run after so many seconds as one line; the rate counts the rows tried in this run."""
    rate = tally.tried / seconds if seconds else 0.0
    records = tally.ok + tally.empty
    text = f"{counted(records, 'record')}, {tally.failures} failed, {tally.done_before} done before, {rate:.1f} rows/s"
    return f"{text}; {printable(waits_for)}" if waits_for else text
