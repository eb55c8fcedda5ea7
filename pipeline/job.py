"""One job from its config: opens what a run needs, watches over it, and leaves run.json and metrics.prom behind."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.abc import Process
from anyio.streams.memory import MemoryObjectSendStream
from pydantic import SecretStr

from pipeline.backend import open_provider
from pipeline.config import Config, read_key
from pipeline.errors import InternalError, PipelineError, ServiceError
from pipeline.fetch.concurrency import max_workers
from pipeline.fetch.conversation import Conversation
from pipeline.fetch.fetcher import Fetcher
from pipeline.fetch.found import found_batches
from pipeline.fetch.once import Once
from pipeline.fetch.pacers import open_pacer
from pipeline.fetch.policy import FetchCounters, RetryPolicy
from pipeline.fetch.quota import Quota
from pipeline.manifest import Manifest, open_manifest
from pipeline.prepare.preparer import Preparer
from pipeline.providers.base import Provider
from pipeline.records import Answer
from pipeline.report.metrics import write_metrics
from pipeline.report.run_json import Report, Traffic, write_run_json
from pipeline.report.tally import Tally
from pipeline.runner import Runner, Watcher, beside
from pipeline.sink.job import Job, open_job
from pipeline.sink.sift import sifted_batches, sifted_manifest
from pipeline.sink.sink import Item, Paid, Sink
from pipeline.terms import find, make_probe, oldest_answer, open_quota, rate_of, state_folder
from pipeline.watch import Stop, at_deadline, judge_failures, judge_whole, on_signals, on_stall

ITEMS_ON_THE_WAY = 100
PREPARERS = 8  # rows in preparation: downloads wait for the network, decoding has a bound of its own
STALL_SECONDS = 300.0
E = TypeVar("E", bound=BaseException)
Follow = Callable[[Tally], Coroutine[None, None, None]]


@dataclass(slots=True, kw_only=True)
class _Session:
    """What one run shares between its parts."""

    config: Config
    key: SecretStr | None
    manifest: Manifest | None
    job: Job
    quota: Quota
    started: datetime
    tally: Tally = field(default_factory=Tally)
    counters: FetchCounters = field(default_factory=FetchCounters)
    stop: Stop = field(default_factory=Stop)
    complete: bool = False


async def run(config: Config, *, limit: int | None = None, follow: Follow | None = None) -> Report:
    """Do the job, as far as it goes, and return the report of it; run.json and metrics.prom are written.

    `limit` is the most rows to do; `follow` runs beside it and shows the tally. Raises UsageError, JobLocked and
    OutputError where the run can't begin.
    """
    started = datetime.now(UTC)
    key = read_key(config.provider)
    with ExitStack() as opened:
        manifest = opened.enter_context(open_manifest(config.manifest)) if config.manifest.path else None
        job = opened.enter_context(open_job(Path(config.output.dir)))
        quota = open_quota(config, key)
        opened.callback(quota.close)
        session = _Session(config=config, key=key, manifest=manifest, job=job, quota=quota, started=started)
        cause: PipelineError | None = None
        try:
            await _execute(session, limit, follow)
            cause = session.stop.cause
        except* PipelineError as group:
            cause = next(leaves(group))
        except* Exception as group:
            cause = InternalError(f"internal error: {_named(next(leaves(group)))}; what was committed is safe")
            cause.__cause__ = group
        report = _report(session, cause, limit)
        write_run_json(job.folder, report)
        write_metrics(job.folder, report)
        return report


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


async def _execute(session: _Session, limit: int | None, follow: Follow | None) -> None:
    """Open the service, the stages and their streams, run them, and settle what is finished."""
    config, stop = session.config, session.stop
    opening = anyio.CancelScope()
    stop.then = [opening.cancel]  # until there is something to drain: an index may take long to build
    ending = [partial(on_signals, stop), partial(at_deadline, stop, config.limits, session.started)]
    async with beside(ending), AsyncExitStack() as opened:
        opened.enter_context(opening)
        provider, service = await opened.enter_async_context(open_provider(config))
        preparer = await opened.enter_async_context(Preparer(config.prepare, provider.limits))
        fetcher = await _open_fetcher(session, provider, opened)
        items, written = anyio.create_memory_object_stream[Item](ITEMS_ON_THE_WAY)
        opened.enter_context(items)
        opened.enter_context(written)
        runner = _make_runner(session, provider, preparer, fetcher, items)
        runner.limit = limit
        runner.watchers = _watchers(session, runner, fetcher, service, follow)
        # A page of a search that is in flight is paid for: it is finished, and the closed intake ends the search.
        stop.then = [*([runner.drain] if session.manifest else []), fetcher.close_intake]
        await runner.execute(written)
        session.complete = runner.complete
        if stop.cause is None and runner.complete:
            await runner.sink.settle(prune=config.output.prune and session.tally.seen > 0)
            judge_whole(stop, session.tally, config.output.max_failed)


async def _open_fetcher(session: _Session, provider: Provider, opened: AsyncExitStack) -> Fetcher:
    """Open what asks the service, at the pace of the key."""
    config = session.config
    rate = rate_of(config)
    pacer = await opened.enter_async_context(open_pacer(config.limits.pacer, provider.endpoint, session.key, rate))
    fetcher = Fetcher(
        provider,
        session.key,
        rate,
        RetryPolicy(**config.retry.model_dump()),
        pacer=pacer,
        charge=partial(to_thread.run_sync, session.quota.charge, limiter=CapacityLimiter(1)),
        counters=session.counters,
        conversation=Conversation(provider.identity, state_folder() / "clients"),
    )
    return await opened.enter_async_context(fetcher)


def _make_runner(
    session: _Session,
    provider: Provider,
    preparer: Preparer,
    fetcher: Fetcher,
    items: MemoryObjectSendStream[Item],
) -> Runner:
    """Wire the stages around the answers that are stored and the rows that are done."""
    config, job, tally, stop = session.config, session.job, session.tally, session.stop
    stored = partial(job.answers.get, not_before=oldest_answer(config))
    once = Once(provider, fetcher, stored=stored, keep=partial(_keep, items, tally))
    probe = make_probe(config, provider, job.ledger)
    if session.manifest is not None:
        sifted = sifted_manifest(session.manifest, probe)
    else:
        sifted = sifted_batches(found_batches(once, find(config, provider)), probe)
    return Runner(
        sifted=sifted,
        provider=provider,
        probe=probe,
        preparer=preparer,
        once=once,
        sink=Sink(job, stored=once.forget, written=tally.wrote, broken=stop.ask),
        items=items,
        tally=tally,
        stop=stop,
        judge=partial(judge_failures, stop, tally, config.output.max_failed),
        askers=max_workers(rate_of(config)),
        preparers=max(PREPARERS, 2 * config.prepare.workers),
    )


def _watchers(
    session: _Session, runner: Runner, fetcher: Fetcher, service: Process | None, follow: Follow | None
) -> list[Watcher]:
    """Return what runs beside the stages: the stall watch, the embedded service's end, the progress."""
    config, stop, tally = session.config, session.stop, session.tally
    patience = max(STALL_SECONDS, 2 * config.retry.request_timeout, 2 * config.prepare.download_timeout)
    stalled = session.job.folder / "stalled.log"
    return [
        partial(on_stall, stop, tally, patience, fetcher.waits, stalled, runner.give_up),
        *([partial(follow, tally)] if follow else []),
        *([partial(_outlive, service, stop)] if service else []),
    ]


async def _keep(items: MemoryObjectSendStream[Item], tally: Tally, print_: bytes, answer: Answer) -> None:
    """Hand an answer that was paid for to the sink, before anyone uses it."""
    tally.moved += 1
    await items.send(Paid(fingerprint=print_, answer=answer))


async def _outlive(service: Process, stop: Stop) -> None:
    """Ask to stop where the embedded service dies before the run does."""
    code = await service.wait()
    stop.ask(ServiceError(f"the embedded service has died (exit code {code}); see service.log, and run again"))


def _report(session: _Session, cause: PipelineError | None, limit: int | None) -> Report:
    counters, quota = session.counters, session.quota
    today, month = quota.used()
    traffic = Traffic(
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
    return Report(
        provider=session.config.provider.name,
        started=session.started,
        ended=datetime.now(UTC),
        tally=session.tally,
        traffic=traffic,
        cause=cause,
        limited=limit is not None and session.tally.begun >= limit,
        complete=session.complete,
    )
