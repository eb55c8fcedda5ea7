"""Keeps a running service's index up to date: builds run in a process of their own, at low priority."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import anyio.to_thread
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from pipeline.errors import PipelineError, ServiceError
from pipeline.service.engine.build import build_index
from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.embedding import open_model
from pipeline.service.engine.engine import open_existing
from pipeline.service.findings import CatalogueConfig, Engine, ModelConfig

STDIN = 0
NICE = 10
# The child imports from where this process does, and not from the working folder.
BUILD = f"import sys; sys.path[:] = {{path!r}}; from {__name__} import main; main()"
CatalogueStamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalConfig:
    """The index to keep up to date; the catalogue is checked every `interval` seconds, or with 0 only on SIGHUP."""

    catalogue: CatalogueConfig
    index_dir: Path
    model: ModelConfig | None = None
    interval: float = 0.0


class RebuildRequest:
    """A request to rebuild the index, kept until it is taken; requests made in the meantime are merged with it."""

    def __init__(self) -> None:
        self._reason = ""
        self._requested = anyio.Event()

    def make(self, reason: str) -> None:
        """Request a rebuild."""
        self._reason = self._reason or reason
        self._requested.set()

    async def take(self) -> str:
        """Wait for a request, and return its reason."""
        await self._requested.wait()
        reason, self._reason, self._requested = self._reason, "", anyio.Event()
        return reason


async def keep_up_to_date(
    config: RenewalConfig,
    stamp: CatalogueStamp,
    request: RebuildRequest,
    replace_engine: Callable[[Engine], Awaitable[None]],
    decoders: Decoders,
) -> None:
    """Rebuild the index on every request, and when the catalogue differs from `stamp`; then call `replace_engine`.

    The new engine decodes with `decoders`. An error is reported on stderr, and the old index stays in use.
    """
    async with anyio.create_task_group() as tasks:
        if config.interval:
            tasks.start_soon(_watch, config, stamp, request)
        while True:
            _report(f"rebuilding ({await request.take()})")
            try:
                await _build_in_child(config)
                engine = await anyio.to_thread.run_sync(open_existing, config.index_dir, decoders, config.model)
                await replace_engine(engine)
            except PipelineError as exc:
                _report(f"not renewed: {exc}")
            else:
                _report(f"renewed: {engine.count} rows, version {engine.version}")


def catalogue_stamp(catalogue: CatalogueConfig) -> CatalogueStamp:
    """Return size and time of the catalogue's file, or of all its folders; empty if it is missing."""
    path = catalogue.path
    try:
        places = [folder for folder, _, _ in os.walk(path)] if path.is_dir() else [str(path)]
        stats = [(place, os.stat(place)) for place in sorted(places)]  # noqa: PTH116 - os.walk gives text
    except OSError:  # it is being replaced
        return ()
    return tuple((place, status.st_size, status.st_mtime_ns) for place, status in stats)


async def rebuild_on_sighup(request: RebuildRequest, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
    """Request a rebuild on every SIGHUP; the SIGHUP of a terminal that was closed ends the service."""
    terminal = os.isatty(STDIN)
    with anyio.open_signal_receiver(signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            if terminal and not os.isatty(STDIN):
                signal.raise_signal(signal.SIGTERM)
            request.make("SIGHUP")


async def _watch(config: RenewalConfig, stamp: CatalogueStamp, request: RebuildRequest) -> None:
    """Request a rebuild when the catalogue has changed, and has not changed again for one interval."""
    last = stamp
    while True:
        await anyio.sleep(config.interval)
        now = await anyio.to_thread.run_sync(catalogue_stamp, config.catalogue)
        if now and now == last and now != stamp:
            stamp = now
            request.make("the catalogue has changed")
        last = now


async def _build_in_child(config: RenewalConfig) -> None:
    """Build the index in another process; raises ServiceError with its last line on stderr, or if it can't start.

    A catalogue file that is cut off is refused: it must not replace the whole one that is in use.
    """
    catalogue = replace(config.catalogue, columns=dict(config.catalogue.columns), whole=True)
    picklable = replace(config, catalogue=catalogue)
    command = [sys.executable, "-P", "-c", BUILD.format(path=sys.path)]
    try:
        child = await anyio.run_process(command, input=pickle.dumps((picklable, os.getpid())), check=False)
    except OSError as exc:
        raise ServiceError(f"the build can't be started ({exc.strerror})") from exc
    if child.returncode:
        lines = child.stderr.decode(errors="replace").strip().splitlines()
        raise ServiceError(lines[-1] if lines else f"the build ended with code {child.returncode}")


def _report(text: str) -> None:
    print(f"index: {text}", file=sys.stderr, flush=True)  # noqa: T201 - the process's own log


def main() -> None:
    """Build the index of the RenewalConfig on stdin, for as long as the service runs that wrote it there."""
    os.nice(NICE)
    config, parent = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent

    def progress(_done: int, _total: int) -> None:
        if os.getppid() != parent:
            sys.exit("the service has died")

    try:
        embedder = open_model(config.model) if config.model else None
        build_index(config.catalogue, config.index_dir, progress, embedder=embedder)
    except PipelineError as exc:
        sys.exit(str(exc))
