"""Progress shows rows, rate, failures and time left, and writes little where there is no terminal."""

from __future__ import annotations

import io

import anyio
import pytest
from rich.console import Console

from pipeline.report.progress import progress_for, progress_line, show_bar, show_lines
from pipeline.report.tally import Tally

VIRTUAL_CLOCK = True


def test_the_line_has_the_counts_of_the_run() -> None:
    """The rate counts the rows that were tried in this run."""
    tally = Tally(seen=100, ok=30, empty=5, done_before=40)
    tally.failed["truncated"] = 5
    assert progress_line(tally, 10.0) == "35 records, 5 failed, 40 done before, 4.0 rows/s"
    assert progress_line(Tally(), 0.0).endswith("0.0 rows/s")
    assert progress_line(Tally(), 0.0, "paused until 22:14:05").endswith("0.0 rows/s; paused until 22:14:05")


async def test_a_terminal_gets_a_bar() -> None:
    """The bar has the counts, what is waited for, and the share of the rows read so far."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    with anyio.move_on_after(1.0):
        await show_bar(Tally(seen=50, ok=20), lambda: "paused until noon", console)
    assert "20 records" in screen.getvalue()
    assert "paused until noon" in screen.getvalue()
    assert "20/50" in screen.getvalue()


async def test_without_a_terminal_lines_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines go to stderr, one a minute at first, and one in ten minutes after the tenth."""
    with anyio.move_on_after(60 * 10 + 600 * 2 + 1):
        await show_lines(Tally(ok=3), lambda: "waiting for the index")
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("3 records, 0 failed") == output.err.count("; waiting for the index") == 12


def test_quiet_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With --quiet nothing is shown; without a terminal there are lines."""
    assert progress_for(quiet=True) is None
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert progress_for(quiet=False) is show_lines
