"""The inside of one run: opens what the stages need, wires them, runs them, and finishes the output."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from pydantic import SecretStr

from pipeline.config import Config
from pipeline.fetch.client_state import ClientState
from pipeline.fetch.fetcher import Fetcher
from pipeline.fetch.meter import QuotaMeter
from pipeline.fetch.pacing.concurrency import max_workers
from pipeline.fetch.pacing.open import open_pacer
from pipeline.fetch.policy import FetchCounters
from pipeline.fetch.quota import state_folder
from pipeline.fetch.search_pages import search_pages
from pipeline.fetch.single_flight import SingleFlight
from pipeline.local.backend import Backend, backend_of, make_provider
from pipeline.manifest import Manifest
from pipeline.prepare.preparer import Preparer
from pipeline.providers.base import Provider
from pipeline.records import Answer, Request
from pipeline.report.tally import Tally
from pipeline.resume.changes import ChangeDetector, Changes
from pipeline.resume.pending import batch_changes, manifest_changes, only_lost
from pipeline.runner.execution import Execution, Stages, Watcher, beside
from pipeline.runner.lazy_fetcher import LazyFetcher
from pipeline.runner.policies import deadline_of, fetch_policy, make_detector, oldest_answer, search_cursor, usage_key
from pipeline.runner.row_checks import check_manifest, missing_rows, note_manifest
from pipeline.runner.stages import FetchStage, ManifestStage, Outbox, PrepareStage
from pipeline.runner.stop import Stop
from pipeline.runner.stop_conditions import at_deadline, judge_failures, judge_whole, on_stall
from pipeline.sink.job_files import Job
from pipeline.sink.search_summary import write_search_summary
from pipeline.sink.sink import Item, Paid, Sink
from pipeline.sink.thumbnails import LONGEST_PX
from pipeline.state.answer_store import as_stored

ITEMS_ON_THE_WAY = 100
PREPARERS = 64  # rows in preparation: most may wait for hosts that are gone; what is in memory has bounds of its own
STALL_SECONDS = 300.0
# Shows the tally, and what the run waits for, in words.
ProgressReporter = Callable[[Tally, Callable[[], str]], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How far a run goes, and what watches it.

    `limit` is the most rows to do, `progress` runs beside it. A run that `is_offline` makes no call, and does only rows
    whose records were lost. One that `is_check` believes the first denial of the service.
    """

    limit: int | None = None
    progress: ProgressReporter | None = None
    is_offline: bool = False
    is_check: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What is open for a run: the manifest (None where rows come from a search), the job's files, the meter.

    `changes_before` is the length of changes.jsonl at its start, in bytes.
    """

    key: SecretStr | None
    manifest: Manifest | None
    job: Job
    meter: QuotaMeter
    changes_before: int


@dataclass(slots=True)
class Run:
    """One run: what it is about, and what is observed of it; `is_complete` once every row was looked at."""

    config: Config
    options: RunOptions
    resources: Resources
    stop: Stop
    started: datetime
    tally: Tally = field(default_factory=Tally)
    counters: FetchCounters = field(default_factory=FetchCounters)
    is_complete: bool = False


async def execute(run: Run) -> None:
    """Open the stages and their streams, run them, and finish the output."""
    config, stop = run.config, run.stop
    backend, provider = backend_of(config), make_provider(config)
    opening = anyio.CancelScope()
    stop.bind()
    if not run.options.is_offline:
        await anyio.to_thread.run_sync(check_manifest, config, run.resources.job.state)
        note_manifest(config, run.resources.job.state)
    stop.on_ask(opening.cancel)  # until there is something to drain
    deadline = partial(at_deadline, stop, deadline_of(config.limits), run.started)
    async with beside([deadline]), AsyncExitStack() as opened:
        opened.enter_context(opening)
        thumbnail_px = LONGEST_PX if config.output.report else 0
        preparer = await opened.enter_async_context(
            Preparer(config.prepare, provider.limits, config.retry, thumbnail_px=thumbnail_px)
        )
        fetcher = await _lazy_fetcher(run, backend, opened)
        items, written = anyio.create_memory_object_stream[Item](ITEMS_ON_THE_WAY)
        opened.enter_context(items)
        opened.enter_context(written)
        stages = _make_stages(run, provider, preparer, fetcher, items)
        execution = Execution(stages, items, stop)
        # A page of a search that is in flight is paid for: it is finished, and the closed intake ends the search.
        drain = [execution.drain] if run.resources.manifest else []
        stop.on_ask(*drain, stages.prepare.give_up, fetcher.close_intake)
        await execution.run(written, _watchers(run, execution, fetcher))
        run.is_complete = stages.manifest.is_complete
        if stop.cause is None and run.is_complete and not run.options.is_offline:
            await _finish(run, stages.sink)


async def _finish(run: Run, sink: Sink) -> None:
    """After a run through all rows, drop what has left the manifest, unless that is too much, and judge the whole."""
    output, state = run.config.output, run.resources.job.state
    if missing := await anyio.to_thread.run_sync(missing_rows, run.config, state, run.tally.seen):
        run.stop.ask(missing)
        return
    await sink.compact(prune=output.prune, history=output.history)
    judge_whole(run.stop, run.tally, output.max_failed)


async def _lazy_fetcher(run: Run, backend: Backend, opened: AsyncExitStack) -> LazyFetcher:
    """Return what sends: a live service's settings are tried at once, one that must be started waits for a request."""
    fetcher = LazyFetcher(partial(_open_fetcher, run, backend, opened), backend.died)
    if run.options.is_offline:
        fetcher.close_intake()
    elif not backend.starts_on_demand:
        await fetcher.open()
    return fetcher


async def _open_fetcher(run: Run, backend: Backend, opened: AsyncExitStack) -> Fetcher:
    """Open what sends to the service, within the rate limit of the key."""
    config, key = run.config, run.resources.key
    has_answered = not run.options.is_check and run.resources.job.state.answers.has_any()
    policy = replace(fetch_policy(config, backend), has_answered=has_answered)
    opened.push_async_callback(backend.close)
    service = make_provider(config, await backend.open())
    run.resources.meter.teach(usage_key(config, service))
    fetcher = Fetcher(
        service,
        key,
        policy,
        pacer=await opened.enter_async_context(open_pacer(config.limits.pacer, service.endpoint, key, policy.rate)),
        meter=run.resources.meter,
        counters=run.counters,
        client_state=ClientState(service.service_id, service.client_state, state_folder() / "clients"),
    )
    return await opened.enter_async_context(fetcher)


def _make_stages(
    run: Run, provider: Provider, preparer: Preparer, fetcher: LazyFetcher, items: MemoryObjectSendStream[Item]
) -> Stages:
    """Wire the stages around the answers that are stored and the rows that are done."""
    config, job, tally, stop = run.config, run.resources.job, run.tally, run.stop
    oldest = 0.0 if run.options.is_offline else oldest_answer(config)
    single_flight = SingleFlight(
        provider, fetcher, stored=partial(job.state.answers.get, not_before=oldest), keep=partial(_keep, items, tally)
    )
    detector = make_detector(config, provider, job.state.known_rows)
    outbox = Outbox(items, tally, detector, partial(judge_failures, stop, tally, config.output.max_failed))
    changes = _changes(run, provider, single_flight, detector)
    prepare = PrepareStage(provider, preparer, outbox, tally, stop)
    return Stages(
        manifest=ManifestStage(changes, outbox, tally, stop, run.options.limit),
        prepare=prepare,
        fetch=FetchStage(provider, single_flight, outbox, stop, prepare.with_bytes),
        sink=Sink(job, stored=single_flight.forget, written=tally.count_committed, broken=stop.ask),
        preparers=max(PREPARERS, 2 * config.prepare.workers),
        fetchers=max_workers(fetch_policy(config, backend_of(config)).rate),
    )


def _changes(
    run: Run, provider: Provider, single_flight: SingleFlight, detector: ChangeDetector
) -> AsyncIterator[Changes]:
    """Return what is left to do of the manifest, or of what a search finds."""
    if run.resources.manifest is not None:
        changes = manifest_changes(run.resources.manifest, detector)
    else:
        search = run.config.manifest.search
        summarise = partial(write_search_summary, run.resources.job.folder, search.q if search else "")
        pages = search_pages(single_flight, search_cursor(run.config, provider), summarise)
        changes = batch_changes(pages, detector)
    return only_lost(changes, run.resources.job.state.known_rows) if run.options.is_offline else changes


def _watchers(run: Run, execution: Execution, fetcher: LazyFetcher) -> list[Watcher]:
    """Return what runs beside the stages: the stall watch, the service's early end, the progress."""
    config, stop, tally, progress = run.config, run.stop, run.tally, run.options.progress
    patience = max(STALL_SECONDS, 2 * config.retry.request_timeout, 2 * config.prepare.download_timeout)
    stalled = run.resources.job.folder / "stalled.log"
    return [
        partial(on_stall, stop, tally, patience, fetcher.waits, stalled, execution.give_up),
        *([partial(progress, tally, fetcher.waits_for)] if progress else []),
        partial(fetcher.stop_when_service_dies, stop),
    ]


async def _keep(
    items: MemoryObjectSendStream[Item], tally: Tally, fingerprint: bytes, request: Request, answer: Answer
) -> None:
    """Hand an answer that was paid for to the sink, before anyone uses it."""
    tally.moved += 1
    await items.send(Paid(fingerprint=fingerprint, request=as_stored(request), answer=answer))
