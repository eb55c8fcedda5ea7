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
from anyio.streams.memory import MemoryObjectSendStream

from pipeline.errors import PipelineError, ServiceError
from pipeline.service.engine import open_built, open_engine
from pipeline.service.findings import CatalogueConfig, Engine, ModelConfig

STDIN = 0
NICE = 10
Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """What is to be kept up to date; looked at every `every` seconds, 0 for only when SIGHUP asks for it."""

    catalogue: CatalogueConfig
    index_dir: Path
    model: ModelConfig | None = None
    every: float = 0.0


async def keep_current(renewal: Renewal, seen: Stamp, use: Callable[[Engine], Awaitable[None]]) -> None:
    """Build the index anew when SIGHUP arrives, or when the catalogue has changed since `seen`; then `use` it.

    A catalogue that can't be indexed is said on stderr, and leaves everything as it is.
    """
    asks, asked = anyio.create_memory_object_stream[str](1)
    async with anyio.create_task_group() as tasks, asks, asked:
        tasks.start_soon(_hear, asks)
        if renewal.every:
            tasks.start_soon(_watch, renewal, seen, asks)
        async for why in asked:
            _say(f"building anew ({why})")
            try:
                await _build_aside(renewal)
                engine = await anyio.to_thread.run_sync(open_built, renewal.index_dir, renewal.model)
            except PipelineError as exc:
                _say(f"not renewed: {exc}")
            else:
                await use(engine)
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


async def _hear(asks: MemoryObjectSendStream[str]) -> None:
    """Ask for a renewal at every SIGHUP, those that arrive during one once; a terminal that goes away means the end."""
    terminal = os.isatty(STDIN)
    with anyio.open_signal_receiver(signal.SIGHUP) as signals:
        async for _ in signals:
            if terminal and not os.isatty(STDIN):
                signal.raise_signal(signal.SIGTERM)
            _ask(asks, "SIGHUP")


async def _watch(renewal: Renewal, seen: Stamp, asks: MemoryObjectSendStream[str]) -> None:
    """Ask for a renewal when the catalogue has changed, and has been left alone from one look to the next."""
    last = seen
    while True:
        await anyio.sleep(renewal.every)
        now = await anyio.to_thread.run_sync(stamp_of, renewal.catalogue)
        if now and now == last and now != seen:
            seen = now
            _ask(asks, "the catalogue has changed")
        last = now


def _ask(asks: MemoryObjectSendStream[str], why: str) -> None:
    try:
        asks.send_nowait(why)
    except anyio.WouldBlock:
        return


async def _build_aside(renewal: Renewal) -> None:
    """Build the index in another process; raises ServiceError with the sentence that it ends with.

    A file that is cut off does not take the place of the whole one that is in use.
    """
    catalogue = replace(renewal.catalogue, columns=dict(renewal.catalogue.columns), whole=True)
    plain = replace(renewal, catalogue=catalogue)
    done = await anyio.run_process([sys.executable, "-m", __name__], input=pickle.dumps(plain), check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ServiceError(said[-1] if said else f"the build ended with code {done.returncode}")


def _say(text: str) -> None:
    print(f"index: {text}", file=sys.stderr, flush=True)  # noqa: T201 - the process's own log


def main() -> None:
    """Build the index that stdin tells of; the process that serves is the only one that writes there."""
    os.nice(NICE)
    renewal = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent
    try:
        open_engine(renewal.catalogue, renewal.index_dir, model=renewal.model)
    except PipelineError as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    main()
