"""One job from its config: opens what a run needs, watches over it, and leaves run.json and metrics.prom behind."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import anyio
import orjson
from anyio.abc import Process
from anyio.streams.memory import MemoryObjectSendStream
from platformdirs import user_state_path
from pydantic import SecretStr

from pipeline.backend import open_provider
from pipeline.config import Config, LimitsConfig, read_key
from pipeline.errors import ConfigError, InternalError, PipelineError, ServiceError
from pipeline.fetch.concurrency import max_workers
from pipeline.fetch.conversation import Conversation
from pipeline.fetch.fetcher import Fetcher
from pipeline.fetch.found import found_batches
from pipeline.fetch.once import Once
from pipeline.fetch.pacers import open_pacer
from pipeline.fetch.policy import FetchCounters, RateLimit, RetryPolicy
from pipeline.fetch.quota import Quota, QuotaLimits, account
from pipeline.manifest import Manifest, open_manifest
from pipeline.manifest.found import Finding
from pipeline.prepare.preparer import Preparer
from pipeline.prepare.rules import rules_from
from pipeline.providers.base import Finder, Provider
from pipeline.records import Answer
from pipeline.report.metrics import write_metrics
from pipeline.report.run_json import Report, Traffic, write_run_json
from pipeline.report.tally import Tally
from pipeline.runner import Runner
from pipeline.sink.job import Job, open_job
from pipeline.sink.ledger import Ledger
from pipeline.sink.probe import Probe, Sifted
from pipeline.sink.sift import sifted_batches, sifted_manifest
from pipeline.sink.sink import Item, Paid, Sink
from pipeline.watch import Stop, at_deadline, judge_failures, judge_whole, on_signals, on_stall

ITEMS_ON_THE_WAY = 100
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
            cause = InternalError(f"internal error: {next(leaves(group))!r}; what was committed is safe")
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


def open_quota(config: Config, key: SecretStr | None) -> Quota:
    """Open the count of calls of this key, shared by all jobs of this user."""
    limits = config.limits
    caps = QuotaLimits(per_run=_per_run(limits), per_day=limits.calls_per_day, per_month=limits.calls_per_month)
    service = config.provider.endpoint or f"{config.provider.name} {Path(config.output.dir).resolve()}"
    name = account(key.get_secret_value() if key else "", service)
    return Quota(_state_folder() / "calls.db", name, caps)


def _state_folder() -> Path:
    return user_state_path("image-insights-pipeline", appauthor=False)


def settings_digest(config: Config, provider: Provider) -> bytes:
    """Return a digest of all that is asked beside the row: the service, its settings, how pictures are prepared."""
    rules = rules_from(config.prepare, provider.limits)
    asked = config.provider.model_dump(mode="json", exclude={"endpoint", "key_env", "key_file"})
    return blake2b(orjson.dumps([provider.identity, asked, rules]), digest_size=16).digest()


def make_probe(config: Config, provider: Provider, ledger: Ledger) -> Probe:
    """Return the probe of a job: what counts as done under this config."""
    return Probe(ledger, settings_digest(config, provider), not_before=oldest_answer(config))


def oldest_answer(config: Config) -> float:
    """Return the Unix time before which answers are asked again (`output.refresh`), 0 for never."""
    return 0.0 if config.output.refresh is None else time.time() - config.output.refresh


def find(config: Config, provider: Provider) -> Finding:
    """Begin the search of a job; raises ConfigError where the provider has none, ManifestError for a bad one."""
    if not isinstance(provider, Finder):
        raise ConfigError("manifest", [f"the provider {provider.name!r} finds no images; give a path"])
    return Finding(provider, config.manifest)


def _sifted(session: _Session, finding: Finding | None, probe: Probe, once: Once) -> AsyncIterator[Sifted]:
    """Return what is to be done of the manifest or of the search."""
    if session.manifest is not None:
        return sifted_manifest(session.manifest, probe)
    assert finding is not None
    return sifted_batches(found_batches(once, finding), probe)


def _per_run(limits: LimitsConfig) -> int:
    """Return the most calls a run may make: calls_per_run, or what max_cost pays for, whichever is less."""
    caps = [limits.calls_per_run] if limits.calls_per_run else []
    if limits.max_cost and limits.cost_per_1000_calls:
        caps.append(max(1, int(limits.max_cost * 1000 / limits.cost_per_1000_calls)))
    return min(caps, default=0)


async def _execute(session: _Session, limit: int | None, follow: Follow | None) -> None:
    config, tally, stop = session.config, session.tally, session.stop
    rate = RateLimit(qps=config.limits.qps, concurrency=config.limits.concurrency, guard=config.limits.guard)
    retry = RetryPolicy(**config.retry.model_dump())
    not_before = oldest_answer(config)
    async with AsyncExitStack() as opened:
        provider, service = await opened.enter_async_context(open_provider(config))
        finding = None if session.manifest else find(config, provider)
        preparer = await opened.enter_async_context(Preparer(config.prepare, provider.limits))
        pacer = await opened.enter_async_context(open_pacer(config.limits.pacer, provider.endpoint, session.key, rate))
        fetcher = await opened.enter_async_context(
            Fetcher(
                provider,
                session.key,
                rate,
                retry,
                pacer=pacer,
                charge=_charging(session.quota),
                counters=session.counters,
                conversation=Conversation(provider.identity, _state_folder() / "clients"),
            )
        )
        items, written = anyio.create_memory_object_stream[Item](ITEMS_ON_THE_WAY)
        once = Once(
            provider,
            fetcher,
            stored=partial(session.job.answers.get, not_before=not_before),
            keep=partial(_keep, items, tally),
        )
        probe = make_probe(config, provider, session.job.ledger)
        sink = Sink(session.job, stored=once.forget, written=tally.wrote, broken=stop.ask)
        runner = Runner(
            sifted=_sifted(session, finding, probe, once),
            provider=provider,
            probe=probe,
            preparer=preparer,
            once=once,
            sink=sink,
            items=items,
            tally=tally,
            stop=stop,
            judge=partial(judge_failures, stop, tally, config.output.max_failed),
            askers=max_workers(rate),
            limit=limit,
        )
        # A page of a search that is in flight is paid for: it is finished, and the closed intake ends the search.
        stop.then = [*([runner.drain] if session.manifest else []), fetcher.close_intake]
        patience = max(STALL_SECONDS, 2 * config.retry.request_timeout, 2 * config.prepare.download_timeout)
        stalled = partial(on_stall, stop, tally, patience, fetcher.waits, session.job.folder / "stalled.log")
        runner.watchers = [
            partial(on_signals, stop),
            partial(at_deadline, stop, config.limits, session.started),
            partial(stalled, runner.give_up),
            *([partial(follow, tally)] if follow else []),
            *([partial(_outlive, service, stop)] if service else []),
        ]
        await runner.execute(written)
        if stop.cause is None and runner.complete:
            await sink.settle(prune=config.output.prune)
            judge_whole(stop, tally, config.output.max_failed)


async def _keep(items: MemoryObjectSendStream[Item], tally: Tally, print_: bytes, answer: Answer) -> None:
    """Hand an answer that was paid for to the sink, before anyone uses it."""
    tally.moved += 1
    await items.send(Paid(fingerprint=print_, answer=answer))


async def _outlive(service: Process, stop: Stop) -> None:
    """Ask to stop where the embedded service dies before the run does."""
    code = await service.wait()
    stop.ask(ServiceError(f"the embedded service has died (exit code {code}); see service.log, and run again"))


def _charging(quota: Quota) -> Callable[[], Awaitable[None]]:
    async def charge() -> None:
        quota.charge()

    return charge


def _report(session: _Session, cause: PipelineError | None, limit: int | None) -> Report:
    counters, quota = session.counters, session.quota
    today, month = quota.used()
    traffic = Traffic(
        sends=counters.calls,
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
    )
