"""The inside of one run: opens its stages and their streams, wires them, runs them, and settles what is finished."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.abc import Process
from anyio.streams.memory import MemoryObjectSendStream
from pydantic import SecretStr

from pipeline.config import Config
from pipeline.fetch.client_state import ClientState
from pipeline.fetch.fetcher import Fetcher
from pipeline.fetch.pacing.concurrency import max_workers
from pipeline.fetch.pacing.open import open_pacer
from pipeline.fetch.policy import FetchCounters, RetryPolicy
from pipeline.fetch.quota import Quota, state_folder
from pipeline.fetch.search_pages import search_pages
from pipeline.fetch.single_flight import SingleFlight
from pipeline.local.process import make_provider, open_provider
from pipeline.manifest import Manifest
from pipeline.prepare.preparer import Preparer
from pipeline.providers.base import Provider
from pipeline.records import Answer
from pipeline.report.tally import Tally
from pipeline.resume.changes import ChangeDetector, Changes
from pipeline.resume.pending import batch_changes, manifest_changes, only_lost
from pipeline.runner.lazy_fetcher import LazyFetcher
from pipeline.runner.policies import find, make_detector, oldest_answer, rate_of
from pipeline.runner.stages import Stages, Watcher, beside
from pipeline.runner.stop import Stop, at_deadline, judge_failures, judge_whole, on_signals, on_stall
from pipeline.sink.job_files import Job
from pipeline.sink.sink import Item, Paid, Sink

ITEMS_ON_THE_WAY = 100
PREPARERS = 8  # rows in preparation: downloads wait for the network, decoding has a bound of its own
STALL_SECONDS = 300.0
# Shows the tally, and what the run waits for, in words.
ProgressReporter = Callable[[Tally, Callable[[], str]], Coroutine[None, None, None]]


@dataclass(slots=True, kw_only=True)
class Session:
    """What one run shares between its parts.

    `limit` is the most rows to do, `follow` runs beside it. Where it `is_offline` no call is made, and only rows are
    done whose records were lost.
    """

    config: Config
    key: SecretStr | None
    manifest: Manifest | None
    job: Job
    quota: Quota
    started: datetime
    limit: int | None = None
    follow: ProgressReporter | None = None
    is_offline: bool = False
    tally: Tally = field(default_factory=Tally)
    counters: FetchCounters = field(default_factory=FetchCounters)
    stop: Stop = field(default_factory=Stop)
    complete: bool = False


async def execute(session: Session) -> None:
    """Open the stages and their streams, run them, and settle what is finished."""
    config, stop = session.config, session.stop
    provider = make_provider(config)
    opening = anyio.CancelScope()
    stop.then = [opening.cancel]  # until there is something to drain
    ending = [partial(on_signals, stop), partial(at_deadline, stop, config.limits, session.started)]
    async with beside(ending), AsyncExitStack() as opened:
        opened.enter_context(opening)
        preparer = await opened.enter_async_context(Preparer(config.prepare, provider.limits))
        lazy_fetcher = await _lazy_fetcher(session, opened)
        items, written = anyio.create_memory_object_stream[Item](ITEMS_ON_THE_WAY)
        opened.enter_context(items)
        opened.enter_context(written)
        runner = _make_runner(session, provider, preparer, lazy_fetcher, items)
        runner.watchers = _watchers(session, runner, lazy_fetcher)
        # A page of a search that is in flight is paid for: it is finished, and the closed intake ends the search.
        stop.then = [*([runner.drain] if session.manifest else []), lazy_fetcher.close_intake]
        await runner.execute(written)
        session.complete = runner.complete
        if stop.cause is None and runner.complete and not session.is_offline:
            await runner.sink.settle(prune=config.output.prune and session.tally.seen > 0)
            judge_whole(stop, session.tally, config.output.max_failed)


async def _lazy_fetcher(session: Session, opened: AsyncExitStack) -> LazyFetcher:
    """Return what asks: an endpoint's settings are tried at once, the embedded service waits for a request."""
    lazy_fetcher = LazyFetcher(partial(_open_fetcher, session, opened))
    if session.is_offline:
        lazy_fetcher.close_intake()
    elif session.config.provider.name != "local":
        await lazy_fetcher.open()
    return lazy_fetcher


async def _open_fetcher(session: Session, opened: AsyncExitStack) -> tuple[Fetcher, Process | None]:
    """Open what asks the service, at the pace of the key; the embedded one is started for it."""
    config = session.config
    rate = rate_of(config)
    provider, process = await opened.enter_async_context(open_provider(config))
    pacer = await opened.enter_async_context(open_pacer(config.limits.pacer, provider.endpoint, session.key, rate))
    counting = CapacityLimiter(1)
    fetcher = Fetcher(
        provider,
        session.key,
        rate,
        RetryPolicy(**config.retry.model_dump()),
        pacer=pacer,
        charge=partial(to_thread.run_sync, session.quota.charge, limiter=counting),
        refund=lambda day: to_thread.run_sync(session.quota.refund, day, limiter=counting),
        counters=session.counters,
        client_state=ClientState(provider.identity, state_folder() / "clients"),
    )
    return await opened.enter_async_context(fetcher), process


def _make_runner(
    session: Session,
    provider: Provider,
    preparer: Preparer,
    lazy_fetcher: LazyFetcher,
    items: MemoryObjectSendStream[Item],
) -> Stages:
    """Wire the stages around the answers that are stored and the rows that are done."""
    config, job, tally, stop = session.config, session.job, session.tally, session.stop
    stored = partial(job.answers.get, not_before=0.0 if session.is_offline else oldest_answer(config))
    single_flight = SingleFlight(provider, lazy_fetcher, stored=stored, keep=partial(_keep, items, tally))
    detector = make_detector(config, provider, job.ledger)
    return Stages(
        changes=_changes(session, provider, single_flight, detector),
        provider=provider,
        detector=detector,
        preparer=preparer,
        single_flight=single_flight,
        sink=Sink(job, stored=single_flight.forget, written=tally.wrote, broken=stop.ask),
        items=items,
        tally=tally,
        stop=stop,
        judge=partial(judge_failures, stop, tally, config.output.max_failed),
        askers=max_workers(rate_of(config)),
        preparers=max(PREPARERS, 2 * config.prepare.workers),
        limit=session.limit,
    )


def _changes(
    session: Session, provider: Provider, single_flight: SingleFlight, detector: ChangeDetector
) -> AsyncIterator[Changes]:
    """Return what is to be done of the manifest, or of what a search finds."""
    if session.manifest is not None:
        changes = manifest_changes(session.manifest, detector)
    else:
        changes = batch_changes(search_pages(single_flight, find(session.config, provider)), detector)
    return only_lost(changes, session.job.ledger) if session.is_offline else changes


def _watchers(session: Session, runner: Stages, lazy_fetcher: LazyFetcher) -> list[Watcher]:
    """Return what runs beside the stages: the stall watch, the embedded service's end, the progress."""
    config, stop, tally = session.config, session.stop, session.tally
    patience = max(STALL_SECONDS, 2 * config.retry.request_timeout, 2 * config.prepare.download_timeout)
    stalled = session.job.folder / "stalled.log"
    return [
        partial(on_stall, stop, tally, patience, lazy_fetcher.waits, stalled, runner.give_up),
        *([partial(session.follow, tally, lazy_fetcher.waits_for)] if session.follow else []),
        partial(lazy_fetcher.outlive, stop),
    ]


async def _keep(items: MemoryObjectSendStream[Item], tally: Tally, print_: bytes, answer: Answer) -> None:
    """Hand an answer that was paid for to the sink, before anyone uses it."""
    tally.moved += 1
    await items.send(Paid(fingerprint=print_, answer=answer))
