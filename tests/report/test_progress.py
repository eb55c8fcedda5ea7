"""Progress says rows, rate, failures and time left, and keeps quiet where nobody looks."""

from __future__ import annotations

import io

import anyio
import pytest
from rich.console import Console

from pipeline.report import progress
from pipeline.report.progress import line, progress_for, show_bar, show_lines
from pipeline.report.tally import Tally


def test_the_line_says_where_a_run_stands() -> None:
    """The rate is that of the rows tried in this run."""
    tally = Tally(seen=100, ok=30, empty=5, done_before=40)
    tally.failed["truncated"] = 5
    assert line(tally, 10.0) == "35 records, 5 failed, 40 done before, 4.0 rows/s"
    assert line(Tally(), 0.0).endswith("0.0 rows/s")
    assert line(Tally(), 0.0, "paused until 22:14:05").endswith("0.0 rows/s; paused until 22:14:05")


async def test_a_terminal_gets_a_bar() -> None:
    """Counts, failures and the share of what was read are on the screen."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    with anyio.move_on_after(0.6):
        await show_bar(Tally(seen=50, ok=20), lambda: "paused until noon", console)
    assert "20 records" in screen.getvalue()
    assert "paused until noon" in screen.getvalue()
    assert "20/50" in screen.getvalue()


async def test_a_log_gets_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines go to stderr, at the interval and not before."""
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.05)
    monkeypatch.setattr(progress, "OFTEN_LINES", 2)
    with anyio.move_on_after(0.5):
        await show_lines(Tally(ok=3), lambda: "waiting for the index")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("3 records, 0 failed") == said.err.count("; waiting for the index") == 2


def test_quiet_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """--quiet is for cron; off a terminal there are lines."""
    assert progress_for(quiet=True) is None
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert progress_for(quiet=False) is show_lines
