"""Keeps a running service's index up to date: in a process of its own, at low priority, while the old one answers."""

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
from pipeline.service.engine.engine import open_built, open_engine
from pipeline.service.findings import CatalogueConfig, Engine, ModelConfig

STDIN = 0
NICE = 10
# Imports from where this process does, not from what happens to lie in the working folder.
BUILD = f"import sys; sys.path[:] = {{path!r}}; from {__name__} import main; main()"
Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """What is to be kept up to date; looked at every `every` seconds, 0 for only when SIGHUP asks for it."""

    catalogue: CatalogueConfig
    index_dir: Path
    model: ModelConfig | None = None
    every: float = 0.0


class Wish:
    """A wish for a renewal: it is kept until it is heard, and those that come meanwhile are the same one."""

    def __init__(self) -> None:
        self._why = ""
        self._made = anyio.Event()

    def make(self, why: str) -> None:
        """Wish, for a reason."""
        self._why = self._why or why
        self._made.set()

    async def heard(self) -> str:
        """Wait for a wish, and return its reason."""
        await self._made.wait()
        why, self._why, self._made = self._why, "", anyio.Event()
        return why


async def keep_current(renewal: Renewal, seen: Stamp, wish: Wish, use: Callable[[Engine], Awaitable[None]]) -> None:
    """Build the index anew at every wish, or when the catalogue has changed since `seen`; then `use` it.

    What goes wrong is said on stderr, and leaves everything as it is.
    """
    async with anyio.create_task_group() as tasks:
        if renewal.every:
            tasks.start_soon(_watch, renewal, seen, wish)
        while True:
            _say(f"building anew ({await wish.heard()})")
            try:
                await _build_aside(renewal)
                engine = await anyio.to_thread.run_sync(open_built, renewal.index_dir, renewal.model)
                await use(engine)
            except PipelineError as exc:
                _say(f"not renewed: {exc}")
            else:
                _say(f"renewed: {engine.count} rows, version {engine.version}")


def stamp_of(catalogue: CatalogueConfig) -> Stamp:
    """Return size and time of the catalogue's file, or of all folders of one; empty where there is none."""
    path = catalogue.path
    try:
        places = [folder for folder, _, _ in os.walk(path)] if path.is_dir() else [str(path)]
        found = [(place, os.stat(place)) for place in sorted(places)]  # noqa: PTH116 - os.walk gives text
    except OSError:  # it is being replaced
        return ()
    return tuple((place, status.st_size, status.st_mtime_ns) for place, status in found)


async def hear(wish: Wish, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
    """Wish for a renewal at every SIGHUP; a terminal that goes away means the end."""
    terminal = os.isatty(STDIN)
    with anyio.open_signal_receiver(signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            if terminal and not os.isatty(STDIN):
                signal.raise_signal(signal.SIGTERM)
            wish.make("SIGHUP")


async def _watch(renewal: Renewal, seen: Stamp, wish: Wish) -> None:
    """Wish for a renewal when the catalogue has changed, and has been left alone from one look to the next."""
    last = seen
    while True:
        await anyio.sleep(renewal.every)
        now = await anyio.to_thread.run_sync(stamp_of, renewal.catalogue)
        if now and now == last and now != seen:
            seen = now
            wish.make("the catalogue has changed")
        last = now


async def _build_aside(renewal: Renewal) -> None:
    """Build the index in another process; raises ServiceError with its last sentence, or where it can't begin.

    A file that is cut off does not take the place of the whole one that is in use.
    """
    catalogue = replace(renewal.catalogue, columns=dict(renewal.catalogue.columns), whole=True)
    plain = replace(renewal, catalogue=catalogue)
    command = [sys.executable, "-P", "-c", BUILD.format(path=sys.path)]
    try:
        done = await anyio.run_process(command, input=pickle.dumps((plain, os.getpid())), check=False)
    except OSError as exc:
        raise ServiceError(f"the build can't be started ({exc.strerror})") from exc
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ServiceError(said[-1] if said else f"the build ended with code {done.returncode}")


def _say(text: str) -> None:
    print(f"index: {text}", file=sys.stderr, flush=True)  # noqa: T201 - the process's own log


def main() -> None:
    """Build the index that stdin tells of, as long as the process that serves is there; it alone writes there."""
    os.nice(NICE)
    renewal, parent = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent

    def progress(_done: int, _total: int) -> None:
        if os.getppid() != parent:
            sys.exit("the service has died")

    try:
        open_engine(renewal.catalogue, renewal.index_dir, progress=progress, model=renewal.model)
    except PipelineError as exc:
        sys.exit(str(exc))
