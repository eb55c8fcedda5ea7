"""metrics.prom says when a night last did all it was allowed to, and the alert rules go by it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.errors import DeadlineReached, KeyRefused, PipelineError, QuotaUsedUp, TooManyFailures
from pipeline.fetch.usage_totals import UsageTotal
from pipeline.report.metrics import METRICS_FILE, write_metrics
from pipeline.report.run_json import Report, Traffic
from pipeline.report.tally import Tally

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def report(cause: PipelineError | None = None, ended: datetime = NOW, *, complete: bool = True) -> Report:
    tally = Tally(seen=10, ok=7)
    return Report(
        provider="local", started=ended, ended=ended, tally=tally, traffic=Traffic(), cause=cause, complete=complete
    )


def metric(folder: Path, name: str) -> float | None:
    """Return the value of a metric without labels of its own."""
    text = (folder / METRICS_FILE).read_text(encoding="utf-8")
    match = re.search(rf"^image_insights_{name}{{[^,\n]*}} (\S+)$", text, re.MULTILINE)
    return float(match[1]) if match else None


@pytest.mark.parametrize(
    ("cause", "is_success"),
    [
        (None, True),
        (QuotaUsedUp("used up"), True),
        (DeadlineReached("over"), True),
        (TooManyFailures("many"), False),
        (KeyRefused("no"), False),
    ],
    ids=["finished", "quota", "deadline", "failures", "key"],
)
def test_a_night_that_did_all_it_was_allowed_to_is_a_success(
    tmp_path: Path, cause: PipelineError | None, is_success: bool
) -> None:
    """Only such a night renews the time; the time of the last run is always renewed."""
    later = NOW + timedelta(days=1)
    write_metrics(tmp_path, report())
    write_metrics(tmp_path, report(cause, later))
    assert metric(tmp_path, "last_success_timestamp_seconds") == (later if is_success else NOW).timestamp()
    assert metric(tmp_path, "last_run_timestamp_seconds") == later.timestamp()
    assert metric(tmp_path, "exit_code") == report(cause).exit_code


def test_what_was_used_has_labels_of_its_own(tmp_path: Path) -> None:
    """Units, tokens and cost of each model and feature; what a server named as its model can't break out of a label."""
    used = (
        UsageTotal(feature="labels", units=3, cost=0.0045, currency="USD"),
        UsageTotal(model='o"ne\n', tokens_in=7, tokens_out=2, cost=0.5, currency="USD"),
    )
    write_metrics(tmp_path, replace(report(), traffic=Traffic(usage=used)))
    written = (tmp_path / METRICS_FILE).read_text(encoding="utf-8")
    lines = [line.partition(",")[2] for line in written.splitlines() if line.startswith("image_insights_usage")]
    one = r'provider="local",model="o\"ne\\u000a",feature=""'
    assert lines == [
        'provider="local",model="",feature="labels"} 3',
        one + ',direction="in"} 7',
        one + ',direction="out"} 2',
        'provider="local",model="",feature="labels",currency="USD"} 0.0045',
        one + ',currency="USD"} 0.5',
    ]


def test_what_is_left_and_when_to_go_on(tmp_path: Path) -> None:
    """Both are absent or 0 where there is nothing to say."""
    write_metrics(tmp_path, report(QuotaUsedUp("used up", resume_after=NOW)))
    assert metric(tmp_path, "rows_left") == 3
    assert metric(tmp_path, "resume_after_timestamp_seconds") == NOW.timestamp()
    write_metrics(tmp_path, report(complete=False))
    assert metric(tmp_path, "rows_left") is None
    assert metric(tmp_path, "resume_after_timestamp_seconds") == 0


def test_rules_name_metrics_that_exist_and_are_explained(project: Path, tmp_path: Path) -> None:
    """Each alert has its line in docs/cron.md."""
    rules = (project / "docs" / "alerts.rules.yml").read_text(encoding="utf-8")
    write_metrics(tmp_path, report())
    written = set(re.findall(r"^# TYPE (\w+)", (tmp_path / METRICS_FILE).read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"image_insights_\w+", rules)) <= written
    page = (project / "docs" / "cron.md").read_text(encoding="utf-8")
    assert re.findall(r"alert: (\w+)", rules) == re.findall(r"^\| `(ImageInsights\w+)`", page, re.MULTILINE)


def test_promtool_accepts_the_rules(project: Path) -> None:
    """Where promtool is installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (apt package prometheus) is not installed")
    subprocess.run([promtool, "check", "rules", project / "docs" / "alerts.rules.yml"], check=True, capture_output=True)
