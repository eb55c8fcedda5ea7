"""Write run.json: what the last run did, why it ended, and when to go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from pipeline.errors import ExitCode, PipelineError, StopRun, UsageError
from pipeline.fetch.usage_totals import UsageTotal
from pipeline.guards.printable import printable
from pipeline.report.facts import main_facts
from pipeline.report.tally import Tally
from pipeline.sink.output import write_atomically
from pipeline.wording import counted, money

RUN_FILE = "run.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The calls of a run as the fetch stage counted them.

    `sends` counts every attempt, `answers` the responses, `faults` the failures of the service or of the connection,
    `throttled` the responses with status 429, `sent_into_pause` the calls that were sent during a pause. `calls_today`
    and `calls_this_month` include all runs with the same key. `usage` has the parts of `cost` by model and feature.
    """

    sends: int = 0
    answers: int = 0
    retries: int = 0
    faults: int = 0
    throttled: int = 0
    pauses: int = 0
    paused_seconds: float = 0.0
    sent_into_pause: int = 0
    calls_today: int = 0
    calls_this_month: int = 0
    cost: float = 0.0
    usage: tuple[UsageTotal, ...] = ()

    @property
    def money(self) -> str:
        """The cost with its currency, empty where nothing was spent."""
        currency = next((total.currency for total in self.usage if total.currency), "")
        return f"{money(self.cost)} {currency}".strip() if self.cost else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerted:
    """The alerts of a run: how many fired, how many messages were sent, how many wait for the next run, and why.

    `exit_code` is what an alert that fired wants the run to end with, 0 where none does.
    """

    fired: int = 0
    sent: int = 0
    waiting: int = 0
    exit_code: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything about one run; `started` and `ended` have time zones. `complete`: the manifest was read to its end.

    `run` is its number in the job, `changes` counts what it found changed, by name.
    """

    provider: str
    started: datetime
    ended: datetime
    tally: Tally = field(repr=False)
    traffic: Traffic
    cause: PipelineError | None
    limited: bool = False
    complete: bool = True
    run: int = 0
    changes: Mapping[str, int] = field(default_factory=dict)
    alerts: Alerted = Alerted()

    @property
    def exit_code(self) -> int:
        """The exit code of the command."""
        if self.cause is not None:
            return self.cause.exit_code
        if self.alerts.exit_code:
            return self.alerts.exit_code
        return ExitCode.SOME_FAILED if self.tally.failures else ExitCode.DONE

    @property
    def reason(self) -> str:
        """Why the run ended: finished, limit, error, or the reason of a StopRun."""
        if self.cause is None:
            return "limit" if self.limited else "finished"
        return self.cause.reason if isinstance(self.cause, StopRun) else "error"

    @property
    def resume_after(self) -> datetime | None:
        """When to run again, where the cause says so."""
        return self.cause.resume_after if isinstance(self.cause, StopRun) else None

    @property
    def rows_left(self) -> int | None:
        """The rows that were read but not done; None if the manifest was not read to its end."""
        return self.tally.seen - self.tally.finished if self.complete else None

    @property
    def message(self) -> str | None:
        """Why the run ended early, as one line that can be shown; None if it finished."""
        return printable(str(self.cause).replace("\n", "; ")) if self.cause else None

    @property
    def seconds(self) -> float:
        """The duration of the run."""
        return (self.ended - self.started).total_seconds()

    def summary(self) -> str:
        """Return the line that the command prints at the end."""
        tally = self.tally
        parts = [
            f"{counted(tally.records_written, 'record')} written",
            f"{tally.done_before} done before",
            f"{tally.failures} failed",
            *([f"{tally.skipped} skipped"] if tally.skipped else []),
            counted(self.traffic.sends, "call"),
            *([f"cost {self.traffic.money}"] if self.traffic.money else []),
            f"{self.seconds:.1f} s",
        ]
        return f"{self.reason}: {', '.join(parts)}" + (f"; {self.message}{self._resume_hint()}" if self.cause else "")

    def facts(self, page: str = "") -> str:
        """Return the facts that matter most to a reader, and which page to open for the rest."""
        facts = main_facts(self.tally.known, self.changes)
        return f"{facts}; open {page}" if page else facts

    def _resume_hint(self) -> str:
        """Return when to go on if that is later than now, else an empty string."""
        resume = self.resume_after
        return f"; go on after {_utc(resume)}" if resume and resume > self.ended else ""

    def as_json(self) -> dict[str, Any]:
        """Return the content of run.json."""
        tally = self.tally
        return {
            "schema": "1",
            "run": self.run,
            "provider": self.provider,
            "started_at": _utc(self.started),
            "ended_at": _utc(self.ended),
            "seconds": round(self.seconds, 3),
            "exit_code": int(self.exit_code),
            "reason": self.reason,
            "message": self.message,
            "resume_after": _utc(self.resume_after) if self.resume_after else None,
            "rows": _rows(tally, self.rows_left),
            "changes": dict(self.changes),
            "alerts": {name: getattr(self.alerts, name) for name in ("fired", "sent", "waiting")},
            "failures": dict((tally.failed + tally.failed_before).most_common()),
            "calls": _calls(self.traffic, tally),
            "usage": [_usage(self.provider, total) for total in self.traffic.usage],
            "pictures": _pictures(tally),
        }


def _rows(tally: Tally, left: int | None) -> dict[str, int | None]:
    return {
        "seen": tally.seen,
        "skipped": tally.skipped,
        "ok": tally.ok,
        "empty": tally.empty,
        "done_before": tally.done_before,
        "failed": tally.failed.total(),
        "failed_before": tally.failed_before.total(),
        "left": left,
        "records_written": tally.records_written,
        "failures_written": tally.failures_written,
    }


def _calls(traffic: Traffic, tally: Tally) -> dict[str, float]:
    return {
        "sent": traffic.sends,
        "rows_from_store": tally.from_store,
        "answers": traffic.answers,
        "retries": traffic.retries,
        "faults": traffic.faults,
        "throttled": traffic.throttled,
        "pauses": traffic.pauses,
        "paused_seconds": round(traffic.paused_seconds, 3),
        "sent_into_pause": traffic.sent_into_pause,
        "today": traffic.calls_today,
        "this_month": traffic.calls_this_month,
        "cost": round(traffic.cost, 6),
    }


def _usage(provider: str, total: UsageTotal) -> dict[str, str | float]:
    return {
        "provider": provider,
        "model": total.model,
        "feature": total.feature,
        "units": total.units,
        "tokens_in": total.tokens_in,
        "tokens_out": total.tokens_out,
        "cost": round(total.cost, 6),
        "currency": total.currency,
    }


def _pictures(tally: Tally) -> dict[str, int]:
    return {
        "passed": tally.passed,
        "encoded": tally.encoded,
        "bytes_before": tally.bytes_before,
        "bytes_after": tally.bytes_after,
    }


def write_run_json(folder: Path, report: Report) -> None:
    """Replace run.json atomically."""
    write_atomically(folder / RUN_FILE, orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2) + b"\n")


def read_run_json(folder: Path) -> dict[str, Any]:
    """Return the content of run.json; raises UsageError if there is none."""
    try:
        content: dict[str, Any] = orjson.loads((folder / RUN_FILE).read_bytes())
    except (OSError, orjson.JSONDecodeError) as exc:
        raise UsageError(f"{folder / RUN_FILE} can't be read; has the job been run?") from exc
    return content


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
