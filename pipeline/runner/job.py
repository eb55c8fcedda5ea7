"""One job from its config: opens what a run needs, and leaves run.json and metrics.prom behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import anyio

from pipeline.changes.net import count_changes
from pipeline.config import Config, key_place, read_key
from pipeline.errors import InternalError, KeyRefused, OutputError, PipelineError
from pipeline.fetch.meter import QuotaMeter
from pipeline.manifest import open_manifest
from pipeline.report.metrics import write_metrics
from pipeline.report.page.write import write_page
from pipeline.report.run_json import Report, Traffic, write_run_json
from pipeline.runner.alerts import tell
from pipeline.runner.policies import call_price, open_quota
from pipeline.runner.stop import Stop
from pipeline.runner.wiring import ProgressReporter, Resources, Run, RunOptions, execute
from pipeline.sink.changes_file import read_changes
from pipeline.sink.job_files import CHANGES, open_job

E = TypeVar("E", bound=BaseException)


async def run(
    config: Config,
    *,
    limit: int | None = None,
    progress: ProgressReporter | None = None,
    stop: Stop | None = None,
    is_check: bool = False,
) -> Report:
    """Do the job, as far as it goes, and return the report of it; run.json and metrics.prom are written.

    `limit` is the most rows to do, `progress` runs beside the job and shows the tally, `stop` stops it from outside.
    With `is_check` the first denial ends the run, although the service has answered the job before.
    Works in any thread and beside anything else in the event loop; signals are left to the caller. Raises UsageError,
    JobLocked and OutputError where the run can't begin.
    """
    with ExitStack() as opened:
        options = RunOptions(limit=limit, progress=progress, is_check=is_check)
        this = _open(config, options, stop, opened)
        cause = await _outcome(this)
        report = _report(this, cause) if is_check else await _alerted(this, _report(this, cause))
        written = _written(this.resources.job.folder, report, is_check=is_check)
        return await _with_page(config, written) if config.output.report and not is_check else written


async def rebuild(config: Config, stop: Stop | None = None) -> int:
    """Make the records that the output has lost again from stored answers, without any call; return how many.

    Raises what ends a run.
    """
    with ExitStack() as opened:
        this = _open(config, RunOptions(is_offline=True), stop, opened)
        if (cause := await _outcome(this)) is not None:
            raise cause
        return this.tally.records_written


def _open(config: Config, options: RunOptions, stop: Stop | None, opened: ExitStack) -> Run:
    """Open manifest, job and quota until `opened` closes."""
    started, limits = datetime.now(UTC), config.limits
    key = None if options.is_offline else read_key(config.provider)
    manifest = opened.enter_context(open_manifest(config.manifest)) if config.manifest.path else None
    job = opened.enter_context(open_job(Path(config.output.dir)))
    if not (options.is_offline or options.is_check):
        job.state.history.begin_run()
    quota = open_quota(config, key)
    opened.callback(quota.close)
    meter = QuotaMeter(quota, call_price=call_price(limits), max_cost=limits.max_cost)
    resources = Resources(key=key, manifest=manifest, job=job, meter=meter, changes_before=job.changes.length)
    return Run(config, options, resources, stop or Stop(), started)


async def _outcome(run: Run) -> PipelineError | None:
    """Execute the run and return what ended it early, if anything did."""
    try:
        await execute(run)
        cause = run.stop.cause
    except* PipelineError as group:
        cause = next(leaves(group))
    except* Exception as group:
        cause = InternalError(f"internal error: {_named(next(leaves(group)))}; what was committed is safe")
        cause.__cause__ = group
    return _with_place(cause, run.config) if isinstance(cause, KeyRefused) else cause


def _written(folder: Path, report: Report, *, is_check: bool) -> Report:
    """Write run.json and metrics.prom; where they can't be, the report says so, unless it has a cause already.

    A check is no night: the metrics stay those of the last run.
    """
    try:
        write_run_json(folder, report)
        if not is_check:
            write_metrics(folder, report)
    except OutputError as exc:
        return report if report.cause else replace(report, cause=exc)
    return report


async def _alerted(run: Run, report: Report) -> Report:
    """Tell of what the run has found; where that can't be done, the report says so, unless it has a cause already."""
    try:
        return replace(report, alerts=await tell(run, report.cause))
    except OutputError as exc:
        return report if report.cause else replace(report, cause=exc)


async def _with_page(config: Config, report: Report) -> Report:
    """Write report.html; where it can't be, the report says so, unless it has a cause already."""
    try:
        await anyio.to_thread.run_sync(write_page, config, Path(config.output.dir))
    except PipelineError as exc:
        return report if report.cause else replace(report, cause=exc)
    return report


def _with_place(refused: KeyRefused, config: Config) -> KeyRefused:
    """Say who refused which key: where it was looked for, never the key itself."""
    endpoint = config.provider.endpoint or "the embedded service"
    return KeyRefused(f"{endpoint} refused {key_place(config.provider)}: {refused}")


def leaves(group: BaseExceptionGroup[E]) -> Iterator[E]:
    """Yield the exceptions of a group and of the groups inside it."""
    for exception in group.exceptions:
        if isinstance(exception, BaseExceptionGroup):
            yield from leaves(exception)
        else:
            yield exception


def _named(error: Exception) -> str:
    """Return an error's type and text; the repr of some holds request headers."""
    return f"{type(error).__name__}: {error}"


def _report(run: Run, cause: PipelineError | None) -> Report:
    limit, job = run.options.limit, run.resources.job
    return Report(
        provider=run.config.provider.name,
        started=run.started,
        ended=datetime.now(UTC),
        tally=run.tally,
        traffic=_traffic(run),
        cause=cause,
        limited=limit is not None and run.tally.begun >= limit,
        complete=run.is_complete,
        run=job.state.history.run(),
        changes=count_changes(
            read_changes(job.folder / CHANGES, start=run.resources.changes_before, end=job.changes.length)
        ),
    )


def _traffic(run: Run) -> Traffic:
    counters, meter = run.counters, run.resources.meter
    today, month = meter.used()
    return Traffic(
        sends=counters.calls,
        answers=counters.answers,
        retries=counters.retries,
        faults=counters.faults,
        pauses=counters.pauses,
        throttled=counters.refusals,
        paused_seconds=counters.paused,
        sent_into_pause=counters.sent_while_paused,
        calls_today=today,
        calls_this_month=month,
        cost=round(meter.cost, 9),
        usage=tuple(meter.totals()),
    )
