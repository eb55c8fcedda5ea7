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

from pipeline.asking import Asking
from pipeline.backend import make_provider, open_provider
from pipeline.config import Config
from pipeline.fetch.concurrency import max_workers
from pipeline.fetch.conversation import Conversation
from pipeline.fetch.fetcher import Fetcher
from pipeline.fetch.found import found_batches
from pipeline.fetch.once import Once
from pipeline.fetch.pacers import open_pacer
from pipeline.fetch.policy import FetchCounters, RetryPolicy
from pipeline.fetch.quota import Quota, state_folder
from pipeline.manifest import Manifest
from pipeline.prepare.preparer import Preparer
from pipeline.providers.base import Provider
from pipeline.records import Answer
from pipeline.report.tally import Tally
from pipeline.runner import Runner, Watcher, beside
from pipeline.sink.job import Job
from pipeline.sink.probe import Probe, Sifted
from pipeline.sink.sift import only_lost, sifted_batches, sifted_manifest
from pipeline.sink.sink import Item, Paid, Sink
from pipeline.terms import find, make_probe, oldest_answer, rate_of
from pipeline.watch import Stop, at_deadline, judge_failures, judge_whole, on_signals, on_stall

ITEMS_ON_THE_WAY = 100
PREPARERS = 8  # rows in preparation: downloads wait for the network, decoding has a bound of its own
STALL_SECONDS = 300.0
# Shows the tally, and what the run waits for, in words.
Follow = Callable[[Tally, Callable[[], str]], Coroutine[None, None, None]]


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
    follow: Follow | None = None
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
        asking = await _asking(session, opened)
        items, written = anyio.create_memory_object_stream[Item](ITEMS_ON_THE_WAY)
        opened.enter_context(items)
        opened.enter_context(written)
        runner = _make_runner(session, provider, preparer, asking, items)
        runner.watchers = _watchers(session, runner, asking)
        # A page of a search that is in flight is paid for: it is finished, and the closed intake ends the search.
        stop.then = [*([runner.drain] if session.manifest else []), asking.close_intake]
        await runner.execute(written)
        session.complete = runner.complete
        if stop.cause is None and runner.complete and not session.is_offline:
            await runner.sink.settle(prune=config.output.prune and session.tally.seen > 0)
            judge_whole(stop, session.tally, config.output.max_failed)


async def _asking(session: Session, opened: AsyncExitStack) -> Asking:
    """Return what asks: an endpoint's settings are tried at once, the embedded service waits for a request."""
    asking = Asking(partial(_open_fetcher, session, opened))
    if session.is_offline:
        asking.close_intake()
    elif session.config.provider.name != "local":
        await asking.open()
    return asking


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
        conversation=Conversation(provider.identity, state_folder() / "clients"),
    )
    return await opened.enter_async_context(fetcher), process


def _make_runner(
    session: Session,
    provider: Provider,
    preparer: Preparer,
    asking: Asking,
    items: MemoryObjectSendStream[Item],
) -> Runner:
    """Wire the stages around the answers that are stored and the rows that are done."""
    config, job, tally, stop = session.config, session.job, session.tally, session.stop
    stored = partial(job.answers.get, not_before=0.0 if session.is_offline else oldest_answer(config))
    once = Once(provider, asking, stored=stored, keep=partial(_keep, items, tally))
    probe = make_probe(config, provider, job.ledger)
    return Runner(
        sifted=_sifted(session, provider, once, probe),
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
        limit=session.limit,
    )


def _sifted(session: Session, provider: Provider, once: Once, probe: Probe) -> AsyncIterator[Sifted]:
    """Return what is to be done of the manifest, or of what a search finds."""
    if session.manifest is not None:
        sifted = sifted_manifest(session.manifest, probe)
    else:
        sifted = sifted_batches(found_batches(once, find(session.config, provider)), probe)
    return only_lost(sifted, session.job.ledger) if session.is_offline else sifted


def _watchers(session: Session, runner: Runner, asking: Asking) -> list[Watcher]:
    """Return what runs beside the stages: the stall watch, the embedded service's end, the progress."""
    config, stop, tally = session.config, session.stop, session.tally
    patience = max(STALL_SECONDS, 2 * config.retry.request_timeout, 2 * config.prepare.download_timeout)
    stalled = session.job.folder / "stalled.log"
    return [
        partial(on_stall, stop, tally, patience, asking.waits, stalled, runner.give_up),
        *([partial(session.follow, tally, asking.waits_for)] if session.follow else []),
        partial(asking.outlive, stop),
    ]


async def _keep(items: MemoryObjectSendStream[Item], tally: Tally, print_: bytes, answer: Answer) -> None:
    """Hand an answer that was paid for to the sink, before anyone uses it."""
    tally.moved += 1
    await items.send(Paid(fingerprint=print_, answer=answer))
