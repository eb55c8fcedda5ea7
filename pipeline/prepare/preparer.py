"""The async edge of stage 2: read or download a row's picture, and prepare it in a thread or a process."""

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
from pipeline.prepare.fit import fit, fit_from_header
from pipeline.prepare.fit_rules import FitRules, rules_from
from pipeline.prepare.local_file import read_file
from pipeline.records import Limits, LocalFile, Prepared, RemoteUrl, Row

T = TypeVar("T")
_READERS = 4  # files read at once: enough for a slow disk
_SWITCH_SECONDS = 0.0005  # see responsive_loop()
_FILES_PER_WORKER = 2  # local files in memory: one being prepared, one waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class _PrepareFailure:
    """A PrepareError on its way from a worker process to the parent."""

    code: str
    message: str


def _run_isolated(step: Callable[[bytes, FitRules], T], data: bytes, rules: FitRules) -> T | _PrepareFailure:
    """Run `step` in a worker process; it ignores Ctrl-C, since the run drains and ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return step(data, rules)
    except PrepareError as exc:
        return _PrepareFailure(code=exc.code, message=str(exc))


@contextmanager
def responsive_loop() -> Iterator[None]:
    """Give the event loop the GIL after 0.5 ms instead of 5 while threads prepare pictures.

    With the default, one worker delayed the loop by 5-8 ms and two by 11-23 ms; now one delays it by 1-2 ms.
    """
    default = sys.getswitchinterval()
    sys.setswitchinterval(min(default, _SWITCH_SECONDS))
    try:
        yield
    finally:
        sys.setswitchinterval(default)


class Preparer:
    """Prepares the pictures of rows, many at a time; an async context manager, since downloads share connections."""

    def __init__(self, config: PrepareConfig, limits: Limits) -> None:
        self._rules = rules_from(config, limits)
        self._forms = limits.forms
        self._isolate = config.isolate
        self._workers = CapacityLimiter(config.workers or _cores())
        self._readers = CapacityLimiter(_READERS)
        self._files_in_memory = Semaphore(_FILES_PER_WORKER * int(self._workers.total_tokens))
        self._memory = Budget(config.max_decode_bytes)
        self._responsive_loop = ExitStack()
        self._downloader = Downloader(
            max_bytes=config.max_file_bytes, timeout=config.download_timeout, allow_private=config.allow_private
        )

    async def __aenter__(self) -> Self:
        await self._downloader.__aenter__()
        self._responsive_loop.enter_context(responsive_loop())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._responsive_loop.close()
        await self._downloader.__aexit__(kind, error, trace)

    async def prepare(self, row: Row) -> Prepared | None:
        """Return the row's picture within the limits, or None if it is sent as a URL or a token; raises RowError."""
        match row.image:
            case LocalFile(path=path):
                async with self._files_in_memory:
                    return await self._fit(await self._read(Path(path)))
            case RemoteUrl(url=url) if "url" not in self._forms:
                return await self._fit(await self._downloader.fetch(url))
        return None

    async def _read(self, path: Path) -> bytes:
        return await to_thread.run_sync(
            read_file, path, self._rules.max_file_bytes, limiter=self._readers, abandon_on_cancel=True
        )

    async def _fit(self, data: bytes) -> Prepared:
        """Prepare a picture; one that must be decoded waits for its share of the memory."""
        prepared_or_bytes = await self._run(fit_from_header, data)
        if isinstance(prepared_or_bytes, Prepared):
            return prepared_or_bytes
        async with self._memory.take(prepared_or_bytes):
            return await self._run(fit, data)

    async def _run(self, step: Callable[[bytes, FitRules], T], data: bytes) -> T:
        if not self._isolate:
            return await to_thread.run_sync(step, data, self._rules, limiter=self._workers, abandon_on_cancel=True)
        try:
            result = await to_process.run_sync(
                _run_isolated, step, data, self._rules, cancellable=True, limiter=self._workers
            )
        except (BrokenWorkerProcess, ProcessLookupError) as exc:  # the latter: it died before it began
            raise PrepareError(
                "decoder-died", "the process that decoded the picture died (crash or out of memory)", retryable=True
            ) from exc
        if isinstance(result, _PrepareFailure):
            raise PrepareError(result.code, result.message)
        return result


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
