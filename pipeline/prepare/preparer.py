"""The async edge of stage 2: where a row's bytes come from, and which thread or process works on them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from anyio import BrokenWorkerProcess, CapacityLimiter, Semaphore, to_process, to_thread

from pipeline.config import PrepareConfig
from pipeline.errors import PrepareError
from pipeline.prepare.budget import Budget
from pipeline.prepare.download import Downloader
from pipeline.prepare.fit import fit, glance
from pipeline.prepare.rules import FitRules, rules_from
from pipeline.prepare.source import read_file
from pipeline.records import Limits, LocalFile, Prepared, RemoteUrl, Row

T = TypeVar("T")
_READERS = 4  # files read at once: enough for a slow disk
_SWITCH = 0.0005  # seconds; see responsive_loop()
_IN_HAND = 2  # local files in memory per worker: one in work, one waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refused:
    """A PrepareError on its way from a worker process."""

    code: str
    message: str


def _isolated(step: Callable[[bytes, FitRules], T], data: bytes, rules: FitRules) -> T | _Refused:
    """Run `step` in a worker process, deaf to Ctrl-C: the run itself drains, and its workers end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return step(data, rules)
    except PrepareError as exc:
        return _Refused(code=exc.code, message=str(exc))


@contextmanager
def responsive_loop() -> Iterator[None]:
    """Let the event loop have the GIL after 0.5 ms at most while threads work on pictures, and not after 5.

    The loop was held up for 5-8 ms by one worker, and with two for 11-23; so it is 1-2 ms by one.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(min(usual, _SWITCH))
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


class Preparer:
    """Prepares rows, many at a time; an async context manager, because downloads share a connection pool."""

    def __init__(self, config: PrepareConfig, limits: Limits) -> None:
        self._rules = rules_from(config, limits)
        self._forms = limits.forms
        self._isolate = config.isolate
        self._workers = CapacityLimiter(config.workers or _cores())
        self._readers = CapacityLimiter(_READERS)
        self._in_hand = Semaphore(_IN_HAND * int(self._workers.total_tokens))
        self._memory = Budget(config.max_decode_bytes)
        self._loop = ExitStack()
        self._downloader = Downloader(
            max_bytes=config.max_file_bytes, timeout=config.download_timeout, allow_private=config.allow_private
        )

    async def __aenter__(self) -> Self:
        await self._downloader.__aenter__()
        self._loop.enter_context(responsive_loop())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.close()
        await self._downloader.__aexit__(kind, error, trace)

    async def prepare(self, row: Row) -> Prepared | None:
        """Return the row's picture within the limits, None where it is sent as a URL or a token; raises RowError."""
        match row.image:
            case LocalFile(path=path):
                async with self._in_hand:
                    return await self._fit(await self._read(Path(path)))
            case RemoteUrl(url=url) if "url" not in self._forms:
                return await self._fit(await self._downloader.fetch(url))
        return None

    async def _read(self, path: Path) -> bytes:
        return await to_thread.run_sync(
            read_file, path, self._rules.max_file_bytes, limiter=self._readers, abandon_on_cancel=True
        )

    async def _fit(self, data: bytes) -> Prepared:
        """Look at the header first: what passes is done, what is decoded waits for its share of the memory."""
        seen = await self._work(glance, data)
        if isinstance(seen, Prepared):
            return seen
        async with self._memory.take(seen):
            return await self._work(fit, data)

    async def _work(self, step: Callable[[bytes, FitRules], T], data: bytes) -> T:
        if not self._isolate:
            return await to_thread.run_sync(step, data, self._rules, limiter=self._workers, abandon_on_cancel=True)
        try:
            done = await to_process.run_sync(
                _isolated, step, data, self._rules, cancellable=True, limiter=self._workers
            )
        except (BrokenWorkerProcess, ProcessLookupError) as exc:  # the latter: it was gone before it could begin
            raise PrepareError(
                "decoder-died", "the process that decoded the picture died (crash or out of memory)", retryable=True
            ) from exc
        if isinstance(done, _Refused):
            raise PrepareError(done.code, done.message)
        return done


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
