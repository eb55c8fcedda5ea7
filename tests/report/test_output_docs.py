"""docs/output.md names every field of failures.jsonl and run.json, every reason and every metric, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from pipeline import errors
from pipeline.errors import StopRun
from pipeline.fetch.usage_totals import UsageTotal
from pipeline.records import Failure
from pipeline.report.metrics import METRICS_FILE, write_metrics
from pipeline.report.run_json import Report, Traffic
from pipeline.report.tally import Tally
from pipeline.sink.output_lines import encode_failure

NOW = datetime(2026, 11, 30, tzinfo=UTC)
USED = UsageTotal(model="m", feature="labels", units=1, tokens_in=2, tokens_out=3, cost=0.5, currency="USD")
REPORT = Report(provider="local", started=NOW, ended=NOW, tally=Tally(), traffic=Traffic(usage=(USED,)), cause=None)
FAILURE = Failure(
    id="a",
    line=2,
    ordinal=0,
    image="a.jpg",
    stage="fetch",
    code="parameter-invalid-value",
    message="-",
    http_status=400,
    attempts=1,
    details={"trace_id": "1"},
)


@pytest.fixture(scope="module")
def page(project: Path) -> str:
    """Return the page."""
    return (project / "docs" / "output.md").read_text(encoding="utf-8")


def named(page: str, heading: str) -> list[str]:
    """Return what the first column of the table with this first heading names, in its order."""
    table = page.partition(f"| {heading} |")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([\w-]+)`", cell)]


def section(page: str, heading: str) -> str:
    """Return the part of the page below a heading."""
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_every_field_of_a_failure_is_explained(page: str) -> None:
    """The table has the fields of a line of failures.jsonl, in their order."""
    assert named(section(page, "failures.jsonl"), "field") == list(orjson.loads(encode_failure(FAILURE, 0)))


def test_every_field_of_run_json_is_explained(page: str) -> None:
    """The tables have the fields of run.json and of its inner objects, in their order."""
    content = REPORT.as_json()
    inner = ["rows", "calls", "pictures"]
    text = section(page, "run.json")
    assert named(text, "field") == [name for name in content if name not in inner]
    for name in inner:
        assert named(text, f"field of `{name}`") == list(content[name])
    assert named(text, "field of `usage`") == list(content["usage"][0])


def test_the_example_of_run_json_has_its_fields(page: str) -> None:
    """The example is what a run writes: the same fields at each level."""
    (block,) = re.findall(r"^```json\n(.*?)^```", section(page, "run.json"), re.MULTILINE | re.DOTALL)
    example, content = orjson.loads(block), REPORT.as_json()
    assert list(example) == list(content)
    assert [list(example[name]) for name in ("rows", "calls", "pictures")] == [
        list(content[name]) for name in ("rows", "calls", "pictures")
    ]


def reasons() -> Iterator[str]:
    """Yield every reason that a run can end for."""
    yield from ("finished", "limit", "error")
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, StopRun):
            yield kind.reason


def test_every_reason_is_explained(page: str) -> None:
    """The table has each reason of run.json, and none that no run ends for."""
    assert sorted(named(page, "value of `reason`")) == sorted(set(reasons()))


def test_every_metric_is_explained(page: str, tmp_path: Path) -> None:
    """The table has each metric of metrics.prom, in its order, and each value of its labels."""
    write_metrics(tmp_path, REPORT)
    written = (tmp_path / METRICS_FILE).read_text(encoding="utf-8")
    text = section(page, "metrics.prom")
    assert named(text, "metric") == re.findall(r"^# TYPE (\w+)", written, re.MULTILINE)
    labels = set(re.findall(r',(\w+)="(\w+)"', written))
    assert labels
    assert {name for name, _ in labels} <= set(re.findall(r"`(\w+)`", text))
    values = {value for name, value in labels if name in {"outcome", "when", "direction"}}
    assert values <= set(re.findall(r"`(\w+)`", text))
