"""Runs the embedded service as a process: build the index, listen, announce it, and stop cleanly."""

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
from pipeline.guards.loopback import is_loopback
from pipeline.service.engine.decoders import Decoders, DecodersClosed
from pipeline.service.engine.engine import open_engine
from pipeline.service.engine.renewal import (
    RebuildRequest,
    RenewalConfig,
    catalogue_stamp,
    keep_up_to_date,
    rebuild_on_sighup,
)
from pipeline.service.findings import CatalogueConfig, Engine, ModelConfig
from pipeline.service.http.app import CURRENT, REQUESTS, TEXT_READER, AppConfig, build_app
from pipeline.service.http.listening import FINISH_SECONDS, listening
from pipeline.service.http.logs import print_logs

QUERY_LOG_FILE, QUOTA_FILE, TEXTS_FILE, UPLOADS_FILE = "queries.db", "quota.db", "texts.db", "uploads.db"
STDIN = 0
STOPPING = (signal.SIGTERM, signal.SIGINT)
LOOPBACK = "127.0.0.1"
REPORT_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """What is served, and where: on loopback unless keys are set; port 0 takes a free port.

    There are at most `most_connections` at a time, and half of that for one address.

    With a `model`, its embeddings decide which pictures are similar. Every `watch` seconds the service checks if the
    catalogue has changed (0: only on SIGHUP), and replaces its index; the service of a run keeps its first one.
    `announce` prints one JSON line on stdout when the service is ready. `with_parent` stops the service when stdin
    ends: it is a pipe from the parent, and ends when the parent dies, whatever the cause.
    """

    catalogue: CatalogueConfig
    index_dir: Path
    model: ModelConfig | None = None
    watch: float = 0.0
    host: str = "127.0.0.1"
    port: int = 0
    most_connections: int = 512
    app: AppConfig = field(default_factory=AppConfig)
    announce: bool = True
    with_parent: bool = False
    access_log: bool = False


class _Stopping(Exception):
    """The build of the index ends early because the service stops; DecodersClosed is another way to say so."""


async def serve(config: ServeConfig) -> None:
    """Serve until SIGTERM, SIGINT or the parent's death, and return when the requests in progress are answered.

    Raises ConfigError if the address needs a key or the model can't be used, TableError if the catalogue can't be
    read, ServiceError if the index can't be written or the address is in use.
    """
    check_address(config)
    with print_logs(accesses=config.access_log):
        failure = await _serve(config)
    if failure is not None:
        raise failure


async def _serve(config: ServeConfig) -> PipelineError | None:
    """Serve, and return what ended the service, if it was not asked to stop."""
    failure: PipelineError | None = None
    async with anyio.create_task_group() as tasks:
        stop = anyio.Event()
        tasks.start_soon(_wait_for_signal, stop)
        if config.with_parent:
            tasks.start_soon(_wait_for_parent_exit, stop)
        try:
            await _run(config, tasks, stop)
        except (_Stopping, DecodersClosed):
            pass
        except PipelineError as exc:  # returned, because the task group would wrap it
            failure = exc
        tasks.cancel_scope.cancel()
    return failure


async def _run(config: ServeConfig, tasks: TaskGroup, stop: anyio.Event) -> None:
    """Build the index, then serve until `stop` is set; a SIGHUP during the first build is handled after it."""
    rebuild = RebuildRequest()
    if not config.with_parent:
        await tasks.start(rebuild_on_sighup, rebuild)
    stamp = await anyio.to_thread.run_sync(catalogue_stamp, config.catalogue)
    with Decoders(max(os.cpu_count() or 1, config.app.workers)) as decoders:
        is_built = anyio.Event()
        tasks.start_soon(_end_decoding, decoders, stop, is_built)
        engine = await anyio.to_thread.run_sync(partial(_open_engine, config, stop.is_set, decoders))
        is_built.set()
        app = build_app(engine, _with_defaults(config))
        async with _listen(app, config):
            if not config.with_parent:
                _read_ahead(app, engine)
                replace_engine = partial(_replace_engine, app)
                tasks.start_soon(keep_up_to_date, _renewal(config), stamp, rebuild, replace_engine, decoders)
            await stop.wait()


def check_address(config: ServeConfig) -> None:
    """Raise ConfigError if other machines could use the service without a key, or if stdin is no parent's pipe."""
    if config.with_parent and not stat.S_ISFIFO(os.fstat(STDIN).st_mode):
        raise ConfigError("serve", ["--with-parent watches stdin, which must be a pipe from the parent"])
    reachable = f"--host {config.host} can be reached from other machines"
    if not is_loopback(config.host) and not config.app.keys:
        raise ConfigError("serve", [f"{reachable}; set a key first (--key-env, or [[keys]] in the config)"])
    if not is_loopback(config.host) and config.app.faults:
        raise ConfigError("serve", [f"{reachable}, and --faults is only for tests"])


def _open_engine(config: ServeConfig, is_stopping: Callable[[], bool], decoders: Decoders) -> Engine:
    progress = ProgressReporter(is_stopping)
    return open_engine(config.catalogue, config.index_dir, decoders, progress=progress, model=config.model)


async def _end_decoding(decoders: Decoders, stop: anyio.Event, is_built: anyio.Event) -> None:
    """End the decoding of pictures, which may take minutes, when the service stops and requests had their time."""
    await stop.wait()
    if is_built.is_set():
        await anyio.sleep(FINISH_SECONDS)
    decoders.close()


class ProgressReporter:
    """Prints the progress of the index every few seconds and at its end: a parent takes silence for a stall.

    Raises _Stopping if the service is to stop.
    """

    def __init__(self, is_stopping: Callable[[], bool]) -> None:
        self._is_stopping = is_stopping
        self._reported, self._reported_at = (0, 0), time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Take one step of the build, however small."""
        if self._is_stopping():
            raise _Stopping
        if not total:  # nothing moves: another process holds the lock of the index
            return
        is_end = done == total and self._reported != (done, total)
        if is_end or time.monotonic() - self._reported_at >= REPORT_SECONDS:
            print(f"index: {done} of {total} rows", file=sys.stderr, flush=True)  # noqa: T201 - the process's own log
            self._reported, self._reported_at = (done, total), time.monotonic()


async def _replace_engine(app: web.Application, engine: Engine) -> None:
    await app[CURRENT].replace_engine(engine)
    _read_ahead(app, engine)


def _read_ahead(app: web.Application, engine: Engine) -> None:
    """Read the text of the catalogue's pictures for searches; the service of a run reads only the requested ones."""
    if TEXT_READER in app:
        app[TEXT_READER].read_ahead(engine)


def _renewal(config: ServeConfig) -> RenewalConfig:
    return RenewalConfig(
        catalogue=config.catalogue, index_dir=config.index_dir, model=config.model, interval=config.watch
    )


@asynccontextmanager
async def _listen(app: web.Application, config: ServeConfig) -> AsyncIterator[None]:
    # The number is used for localhost: the name might resolve to another machine's address, now or later.
    host = LOOPBACK if config.host == "localhost" else config.host
    try:
        async with listening(app, app[REQUESTS], host, config.port, config.most_connections) as port:
            if config.announce:
                _announce(app[CURRENT].engine, config.host, port)
            yield
    except OSError as exc:
        raise ServiceError(
            f"can't listen on {config.host}:{config.port} ({exc.strerror}); choose another --port"
        ) from exc


def _with_defaults(config: ServeConfig) -> AppConfig:
    """Return the app's config with the service's own URL, and with files in the index folder, where none are set."""
    return replace(
        config.app,
        base_url=config.app.base_url or own_url(config.host, config.port),
        query_log=config.app.query_log or config.index_dir / QUERY_LOG_FILE,
        quotas=config.app.quotas or config.index_dir / QUOTA_FILE,
        texts=config.app.texts or config.index_dir / TEXTS_FILE,
        uploads=config.app.uploads or config.index_dir / UPLOADS_FILE,
    )


def own_url(host: str, port: int) -> str | None:
    """Return the service's URL for callers; None if it is unknown, or valid for this process only.

    A free port is a different one next time, and 0.0.0.0 is no address to call.
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
    line |= {"left_out": engine.left_out} if engine.left_out else {}
    sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.buffer.flush()


async def _wait_for_signal(stop: anyio.Event) -> None:
    """Stop the service on the first signal; the second one ends the process at once, whatever it does."""
    with anyio.open_signal_receiver(*STOPPING) as signals:
        async for _ in signals:
            break
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)  # not handled by Python, so that nothing can hold it up
    stop.set()


async def _wait_for_parent_exit(stop: anyio.Event) -> None:
    while True:
        await anyio.wait_readable(STDIN)
        if not os.read(STDIN, 4096):
            stop.set()
            return
