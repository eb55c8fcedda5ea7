"""Run the embedded service as a process: index, listen, say so, stop in good order when told to or when orphaned."""

from __future__ import annotations

import os
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import anyio
import anyio.to_thread
import orjson
from aiohttp import web
from anyio.abc import TaskGroup
from yarl import URL

from pipeline.errors import ConfigError, PipelineError, ServiceError
from pipeline.service.access.callers import is_loopback
from pipeline.service.engine.engine import open_engine
from pipeline.service.engine.renewal import Renewal, Wish, hear, keep_current, stamp_of
from pipeline.service.findings import CatalogueConfig, Engine, ModelConfig
from pipeline.service.http.app import CURRENT, READER, WORKLOAD, AppConfig, build_app
from pipeline.service.http.logs import print_accesses, server_log

MAX_LINE_BYTES = 64 * 1024
# Seconds for the requests in work when the service is told to stop, and then for answers still being sent.
FINISH, GRACE = 9.0, 1.0
QUERY_LOG, QUOTA_BOOK, TEXTS = "queries.db", "quota.db", "texts.db"
STDIN = 0
LOOPBACK = "127.0.0.1"
TELL_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """What is served, and where: loopback unless keys are set; port 0 takes a free one.

    Look-alikes are what `model` says, or what looks alike. Every `watch` seconds the service sees whether the catalogue
    has changed (0: only when SIGHUP asks for it), and goes on from a new index; the child of a run keeps its first one.
    `announce` prints one JSON line on stdout when the service is ready. `with_parent` stops the service as soon as
    stdin ends, which a parent's death does, however it died: the parent holds the other end of a pipe.
    """

    catalogue: CatalogueConfig
    index_dir: Path
    model: ModelConfig | None = None
    watch: float = 0.0
    host: str = "127.0.0.1"
    port: int = 0
    app: AppConfig = field(default_factory=AppConfig)
    announce: bool = True
    with_parent: bool = False
    access_log: bool = False


class _Stopping(Exception):
    """The index build is cut short because the service is to stop."""


async def serve(config: ServeConfig) -> None:
    """Serve until SIGTERM, SIGINT, or the parent's death; returns after the requests in work are answered.

    Raises ConfigError where the address needs a key or the model can't be used, TableError where the catalogue can't
    be read, ServiceError where the index can't be written or the address is taken.
    """
    check_place(config)
    if config.access_log:
        print_accesses()
    failure: PipelineError | None = None
    async with anyio.create_task_group() as tasks:
        stop = anyio.Event()
        tasks.start_soon(_wait_for_signal, stop)
        if config.with_parent:
            tasks.start_soon(_wait_for_orphanhood, stop)
        try:
            await _work(config, tasks, stop)
        except _Stopping:
            pass
        except PipelineError as exc:  # raised below, where no task group wraps it
            failure = exc
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _work(config: ServeConfig, tasks: TaskGroup, stop: anyio.Event) -> None:
    """Index, then answer until `stop` is set; a SIGHUP that comes before the first answer is heeded after it."""
    wish = Wish()
    if not config.with_parent:
        await tasks.start(hear, wish)
    seen = await anyio.to_thread.run_sync(stamp_of, config.catalogue)
    engine = await anyio.to_thread.run_sync(partial(_open, config, stop.is_set))
    app = build_app(engine, _settle(config))
    async with _listening(app, config):
        if not config.with_parent:
            _read_ahead(app, engine)
            tasks.start_soon(keep_current, _renewal(config), seen, wish, partial(_use, app))
        await stop.wait()


def check_place(config: ServeConfig) -> None:
    """Refuse to be reachable from other machines without a key, and to watch a stdin that never ends."""
    if config.with_parent and not stat.S_ISFIFO(os.fstat(STDIN).st_mode):
        raise ConfigError("serve", ["--with-parent watches stdin, which must be a pipe from the parent"])
    if not is_loopback(config.host) and not config.app.keys:
        raise ConfigError(
            "serve",
            [f"--host {config.host} can be reached by others; set a key first (--key-env, or [[keys]] in the config)"],
        )
    if not is_loopback(config.host) and config.app.faults:
        raise ConfigError("serve", [f"--host {config.host} can be reached by others, and --faults is for tests alone"])


def _open(config: ServeConfig, stopping: Callable[[], bool]) -> Engine:
    return open_engine(config.catalogue, config.index_dir, progress=Telling(stopping), model=config.model)


class Telling:
    """Says how far the index is, when all rows are done and every few seconds: whoever waits takes silence for a stall.

    Raises _Stopping where the service is to stop.
    """

    def __init__(self, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping
        self._told, self._at = (0, 0), time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Take one step of the build, however small."""
        if self._stopping():
            raise _Stopping
        if not total:  # nothing moves: another process holds the index
            return
        is_end = done == total and self._told != (done, total)
        if is_end or time.monotonic() - self._at >= TELL_SECONDS:
            print(f"index: {done} of {total} rows", file=sys.stderr, flush=True)  # noqa: T201 - the process's own log
            self._told, self._at = (done, total), time.monotonic()


async def _use(app: web.Application, engine: Engine) -> None:
    await app[CURRENT].use(engine)
    _read_ahead(app, engine)


def _read_ahead(app: web.Application, engine: Engine) -> None:
    """Read the catalogue's own pictures for searches; the child of a run reads what it is asked alone."""
    if READER in app:
        app[READER].read_ahead(engine)


def _renewal(config: ServeConfig) -> Renewal:
    return Renewal(catalogue=config.catalogue, index_dir=config.index_dir, model=config.model, every=config.watch)


@asynccontextmanager
async def _listening(app: web.Application, config: ServeConfig) -> AsyncIterator[None]:
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=server_log,
        handler_cancellation=True,
        shutdown_timeout=GRACE,
        max_line_size=MAX_LINE_BYTES,
    )
    await runner.setup()
    try:
        # By its number: another machine's address that the name may stand for, here or a moment later, is never used.
        site = web.TCPSite(runner, LOOPBACK if config.host == "localhost" else config.host, config.port)
        try:
            await site.start()
        except OSError as exc:
            raise ServiceError(
                f"can't listen on {config.host}:{config.port} ({exc.strerror}); choose another --port"
            ) from exc
        if config.announce:
            _announce(app[CURRENT].engine, config.host, runner.addresses[0][1])
        yield
        await site.stop()
        await app[WORKLOAD].finish(FINISH)  # aiohttp's own shutdown hears nothing of a body that is on its way
    finally:
        await runner.cleanup()


def _settle(config: ServeConfig) -> AppConfig:
    """Fill in what follows from the place: what is kept beside the index, and the service's own URL."""
    return replace(
        config.app,
        base_url=config.app.base_url or own_url(config.host, config.port),
        query_log=config.app.query_log or config.index_dir / QUERY_LOG,
        quota_book=config.app.quota_book or config.index_dir / QUOTA_BOOK,
        texts=config.app.texts or config.index_dir / TEXTS,
    )


def own_url(host: str, port: int) -> str | None:
    """Return the service's URL as callers reach it; None where it can't be told, or would die with this run.

    A free port is another one the next time, and 0.0.0.0 is no address to call.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return f"http://{host}:{port}" if port else None
    if not port or address.is_unspecified:
        return None
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def _announce(engine: Engine, host: str, port: int) -> None:
    page = str(URL.build(scheme="http", host=host, port=port, path="/"))
    line = {"ready": True, "port": port, "pictures": engine.count, "skipped": engine.skipped, "explorer": page}
    sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.buffer.flush()


async def _wait_for_signal(stop: anyio.Event) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            if stop.is_set():
                os._exit(1)  # asked twice: at once, as the pipeline does
            stop.set()


async def _wait_for_orphanhood(stop: anyio.Event) -> None:
    while True:
        await anyio.wait_readable(STDIN)
        if not os.read(STDIN, 4096):
            stop.set()
            return
