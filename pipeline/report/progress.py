"""Progress: a bar on a terminal, one line a minute in a log, so that cron's mail stays short."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine

import anyio
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

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
    while True:
        await anyio.sleep(LINE_SECONDS)
        print(line(tally), file=sys.stderr, flush=True)  # noqa: T201 - this is the command's own output


async def show_bar(tally: Tally) -> None:
    """Show a bar on stderr until cancelled; the manifest is read lazily, so the total grows."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")
        while True:
            bar.update(task, completed=tally.judged, total=tally.seen, description=line(tally))
            await anyio.sleep(BAR_SECONDS)


def line(tally: Tally) -> str:
    """Return where a run stands, in one line."""
    return f"{tally.ok + tally.empty} records, {tally.failures} failed, {tally.done_before} done before"
