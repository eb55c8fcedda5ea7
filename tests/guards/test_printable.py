"""Texts of others are shown as one line without control characters, wherever they leave."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import cli, entry
from pipeline.errors import ConfigError, StopRun, UsageError
from pipeline.guards.printable import printable, printable_lines
from pipeline.report.metrics import METRICS_FILE, write_metrics
from pipeline.report.progress import progress_line
from pipeline.report.run_json import RUN_FILE, Report, Traffic, write_run_json
from pipeline.report.tally import Tally

HOSTILE = "a\x1b]0;title\x07\x9b2J\u202egpj.exe\r\nERROR b\u2028\x7f"
SHOWN = "a\\u001b]0;title\\u0007\\u009b2J\\u202egpj.exe\\u000d\\u000aERROR b\\u2028\\u007f"
NOW = datetime(2026, 11, 30, tzinfo=UTC)


def is_safe(text: str) -> bool:
    """Return True if no character controls a terminal or turns the direction of text."""
    turns = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return not any(
        unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or unicodedata.bidirectional(character) in turns
        for character in text
    )


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_becomes_one_safe_line(text: str) -> None:
    """What can be shown is left as it is, and a JSON text means what it meant."""
    assert is_safe(printable(text))
    assert printable(printable(text)) == printable(text)
    if is_safe(text) and not set(text) & set("\u061c\u200e\u200f\ufeff"):
        assert printable(text) == text


def test_lines_are_kept_where_a_text_has_several() -> None:
    """Only the line ends."""
    assert printable(HOSTILE) == SHOWN
    assert printable_lines("a\x1b\nb\r") == "a\\u001b\nb\\u000d"


def test_no_report_has_control_characters(tmp_path: Path) -> None:
    """Neither the summary nor run.json, metrics.prom and the progress line."""
    folder = tmp_path / HOSTILE.replace("\n", "")
    folder.mkdir()
    report = Report(
        provider="local", started=NOW, ended=NOW, tally=Tally(), traffic=Traffic(), cause=StopRun(HOSTILE)
    )  # fmt: skip
    write_run_json(folder, report)
    write_metrics(folder, report)
    assert orjson.loads((folder / RUN_FILE).read_bytes())["message"] == SHOWN.replace("\\u000a", "; ")
    assert is_safe(report.summary())
    assert is_safe((folder / METRICS_FILE).read_text().replace("\n", ""))
    assert is_safe(progress_line(Tally(), 1.0, HOSTILE))


@pytest.mark.parametrize(
    ("error", "lines"),
    [(UsageError(HOSTILE), 1), (ConfigError("job.toml", [HOSTILE.replace("\n", ""), "b"]), 2)],
    ids=["one sentence", "a line for each problem"],
)
def test_messages_are_printed_safely(
    error: Exception, lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the text of an error quotes."""

    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit):
        cli.main()
    printed = capsys.readouterr().err
    assert printed.count("\n") == lines
    assert is_safe(printed.replace("\n", ""))


def test_what_is_unexpected_is_told_safely(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the text of an error that nobody knows."""

    def fail() -> None:
        raise ValueError(HOSTILE)

    monkeypatch.setattr(entry, "_command", fail)
    assert entry._guarded(entry._command) == entry.ABORTED
    printed = capfd.readouterr().err
    assert SHOWN in printed
    assert printed.count("\n") == 1
