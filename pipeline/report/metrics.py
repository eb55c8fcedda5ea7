"""Write metrics.prom for Prometheus' textfile collector: the last run, and the time of the last success.

A success is a night that did all it was allowed to: it ended by itself (exit code 0 or 1), or at a quota or a deadline.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import ExitCode
from pipeline.guards.printable import printable
from pipeline.report.run_json import Report
from pipeline.sink.output import write_atomically

METRICS_FILE = "metrics.prom"
_PREFIX = "image_insights_"
_SUCCESS = {ExitCode.DONE, ExitCode.SOME_FAILED, ExitCode.QUOTA, ExitCode.DEADLINE}
_LAST_SUCCESS = _PREFIX + "last_success_timestamp_seconds"


def write_metrics(folder: Path, report: Report) -> None:
    """Replace metrics.prom atomically; if this run failed, the time of the last success is kept from the old file."""
    path = folder / METRICS_FILE
    success = report.ended.timestamp() if report.exit_code in _SUCCESS else _last_success(path)
    lines = [
        line
        for name, kind, text, samples in _families(report, success)
        for line in _family(name, kind, text, samples, _label(folder))
    ]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


Samples = dict[str, float]


def _families(report: Report, success: float) -> Iterator[tuple[str, str, str, Samples]]:
    tally, traffic = report.tally, report.traffic
    rows: Samples = {
        "ok": tally.ok,
        "empty": tally.empty,
        "failed": tally.failed.total(),
        "done_before": tally.done_before,
        "failed_before": tally.failed_before.total(),
        "skipped": tally.skipped,
        "records_written": tally.records_written,
    }
    yield "rows", "gauge", "Rows of the manifest by outcome.", {f'outcome="{k}"': v for k, v in rows.items()}
    yield "calls", "gauge", "Calls sent by the last run, counting every attempt.", {"": traffic.sends}
    yield "calls_throttled", "gauge", "Responses with status 429.", {"": traffic.throttled}
    yield "calls_into_pause", "gauge", "Calls that were sent during a pause.", {"": traffic.sent_into_pause}
    yield "calls_month", "gauge", "Calls counted this month for this key.", {"": traffic.calls_this_month}
    yield "paused_seconds", "gauge", "Seconds paused because the service asked for it.", {"": traffic.paused_seconds}
    yield "rows_from_store", "gauge", "Records built without a call.", {"": tally.from_store}
    sizes: Samples = {'when="before"': tally.bytes_before, 'when="after"': tally.bytes_after}
    yield "picture_bytes", "gauge", "Bytes of the pictures before and after they were prepared.", sizes
    yield "cost", "gauge", "Cost of the last run's calls, in the currency of the prices.", {"": traffic.cost}
    yield from _usage(report)
    yield "run_seconds", "gauge", "How long the last run took.", {"": report.seconds}
    yield "exit_code", "gauge", "Exit code of the last run.", {"": report.exit_code}
    yield "last_run_timestamp_seconds", "gauge", "When the last run ended.", {"": report.ended.timestamp()}
    text = "When a run last did all it was allowed to: exit code 0, 1, 5 or 6."
    yield "last_success_timestamp_seconds", "gauge", text, {"": success}
    left: Samples = {} if report.rows_left is None else {"": report.rows_left}
    yield "rows_left", "gauge", "Rows that are not done; absent if the manifest was not read to its end.", left
    resume = report.resume_after.timestamp() if report.resume_after else 0.0
    yield "resume_after_timestamp_seconds", "gauge", "When to run again after a used-up quota, else 0.", {"": resume}


def _usage(report: Report) -> Iterator[tuple[str, str, str, Samples]]:
    """Yield what the last run used, by provider, model and feature."""
    units, tokens, costs = Samples(), Samples(), Samples()
    for total in report.traffic.usage:
        names = {"provider": report.provider, "model": total.model, "feature": total.feature}
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in names.items())
        units |= {labels: total.units} if total.units else {}
        tokens |= {f'{labels},direction="in"': total.tokens_in} if total.tokens_in else {}
        tokens |= {f'{labels},direction="out"': total.tokens_out} if total.tokens_out else {}
        costs |= {f'{labels},currency="{_escaped(total.currency)}"': total.cost} if total.cost else {}
    yield "usage_units", "gauge", "Units that the last run used.", units
    yield "usage_tokens", "gauge", "Tokens that the last run sent and received.", tokens
    yield "usage_cost", "gauge", "What the last run spent, as far as it is known of what.", costs


def _label(folder: Path) -> str:
    """Return the label that identifies the job if one collector has several: its output folder."""
    return f'job="{_escaped(str(folder))}"'


def _escaped(text: str) -> str:
    """Return a text as it is written inside the quotes of a label."""
    return printable(text).replace("\\", r"\\").replace('"', r"\"")


def _family(name: str, kind: str, text: str, samples: Samples, job: str) -> Iterator[str]:
    yield f"# HELP {_PREFIX}{name} {text}"
    yield f"# TYPE {_PREFIX}{name} {kind}"
    for label, value in samples.items():
        labels = f"{job},{label}" if label else job
        yield f"{_PREFIX}{name}{{{labels}}} {value:.15g}"


def _last_success(path: Path) -> float:
    try:
        match = re.search(rf"^{_LAST_SUCCESS}{{.*}} (\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return 0.0
    return float(match[1]) if match else 0.0
