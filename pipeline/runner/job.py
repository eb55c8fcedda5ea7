"""One job from its config: opens what a run needs, and leaves run.json and metrics.prom behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pipeline.config import Config, key_place, read_key
from pipeline.errors import InternalError, KeyRefused, OutputError, PipelineError
from pipeline.manifest import open_manifest
from pipeline.report.metrics import write_metrics
from pipeline.report.run_json import Report, Traffic, write_run_json
from pipeline.runner.policies import open_quota
from pipeline.runner.wiring import ProgressReporter, Session, execute
from pipeline.sink.job_files import open_job

E = TypeVar("E", bound=BaseException)


async def run(config: Config, *, limit: int | None = None, follow: ProgressReporter | None = None) -> Report:
    """Do the job, as far as it goes, and return the report of it; run.json and metrics.prom are written.

    `limit` is the most rows to do; `follow` runs beside it and shows the tally. Raises UsageError, JobLocked and
    OutputError where the run can't begin.
    """
    with ExitStack() as opened:
        session = _open(config, opened, is_offline=False)
        session.limit, session.follow = limit, follow
        return _written(session.job.folder, _report(session, await _outcome(session)))


async def rebuild(config: Config) -> int:
    """Make the records that the output has lost anew from stored answers, without any call; return how many.

    Raises what ends a run.
    """
    with ExitStack() as opened:
        session = _open(config, opened, is_offline=True)
        if (cause := await _outcome(session)) is not None:
            raise cause
        return session.tally.records_written


def _open(config: Config, opened: ExitStack, *, is_offline: bool) -> Session:
    """Open manifest, job and quota until `opened` closes."""
    started = datetime.now(UTC)
    key = None if is_offline else read_key(config.provider)
    manifest = opened.enter_context(open_manifest(config.manifest)) if config.manifest.path else None
    job = opened.enter_context(open_job(Path(config.output.dir)))
    quota = open_quota(config, key)
    opened.callback(quota.close)
    return Session(
        config=config, key=key, manifest=manifest, job=job, quota=quota, started=started, is_offline=is_offline
    )


async def _outcome(session: Session) -> PipelineError | None:
    """Run the session and return what ended it early, if anything did."""
    try:
        await execute(session)
        cause = session.stop.cause
    except* PipelineError as group:
        cause = next(leaves(group))
    except* Exception as group:
        cause = InternalError(f"internal error: {_named(next(leaves(group)))}; what was committed is safe")
        cause.__cause__ = group
    return _with_place(cause, session.config) if isinstance(cause, KeyRefused) else cause


def _written(folder: Path, report: Report) -> Report:
    """Write run.json and metrics.prom; where they can't be, the report says so, unless it has a cause already."""
    try:
        write_run_json(folder, report)
        write_metrics(folder, report)
    except OutputError as exc:
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


def _report(session: Session, cause: PipelineError | None) -> Report:
    return Report(
        provider=session.config.provider.name,
        started=session.started,
        ended=datetime.now(UTC),
        tally=session.tally,
        traffic=_traffic(session),
        cause=cause,
        limited=session.limit is not None and session.tally.begun >= session.limit,
        complete=session.complete,
    )


def _traffic(session: Session) -> Traffic:
    counters, quota = session.counters, session.quota
    today, month = quota.used()
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
        cost=quota.calls * session.config.limits.cost_per_1000_calls / 1000,
    )
