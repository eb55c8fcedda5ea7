"""One key, many processes of one user: the pacer's state in a small file that all of them map, under flock.

A process that dies leaves nothing locked, as the kernel drops its lock; permits it held are forgotten by age.
"""

from __future__ import annotations

import fcntl
import mmap
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from os import O_CREAT, O_RDWR, close, ftruncate
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio
from anyio import current_time

from pipeline.errors import ConfigError, OutputError
from pipeline.fetch.pacing.pace import Pace, Pause, Permit
from pipeline.fetch.policy import RateLimit
from pipeline.guards.private_files import PRIVATE, make_private_folder, open_file
from pipeline.records import Advice

LOCK_TIMEOUT: Final = 5.0
LOCK_POLL: Final = 0.001
REBOOTED: Final = 60.0  # seconds by which the two clocks may drift apart before a stored time means nothing
LAYOUT: Final = 2.0  # of Pace's cells: another version's mean something else
_LAYOUT: Final = 14  # spare cells of Pace: the layout, and when the stored clock read zero, in Unix time
_EPOCH: Final = 15


class FilePacer:
    """A pacer whose state is the file behind `descriptor`; see file_pacer()."""

    def __init__(self, descriptor: int, cells: memoryview[float], limits: RateLimit, name: str) -> None:
        self._descriptor = descriptor
        self._pace = Pace(cells, limits)
        self._name = name

    @property
    def pause(self) -> Pause:
        """See Pacer; read without the lock, as a double is read whole."""
        return self._pace.current_pause

    async def take(self, amount: float = 0.0) -> Permit | float:
        """See Pacer."""
        with await self._locked():
            return self._pace.take(current_time(), amount)

    async def settle(self, permit: Permit, *, sent: bool) -> None:
        """See Pacer."""
        with await self._locked():
            self._pace.settle(permit, current_time() if sent else None)

    async def late(self, permit: Permit, seconds: float) -> None:
        """See Pacer."""
        with await self._locked():
            self._pace.late(permit, seconds)

    async def answered(self, permit: Permit, amount: float, advice: Advice) -> None:
        """See Pacer."""
        with await self._locked():
            self._pace.answered(permit, amount, advice)

    async def begin_pause(self, seconds: float, refused: Permit | None = None, *, by_amount: bool = False) -> None:
        """See Pacer."""
        with await self._locked():
            now = current_time()
            self._pace.pause(now, seconds, refused, too_much=self._pace.sent_amount(now) if by_amount else None)

    async def forget_if_stale(self) -> None:
        """Start afresh where another version wrote the file, or the machine was restarted since: its clock is new."""
        with await self._locked():
            cells, epoch = self._pace.cells, time.time() - current_time()
            if cells[_LAYOUT] != LAYOUT or abs(cells[_EPOCH] - epoch) > REBOOTED:
                cells.cast("B")[:] = bytes(cells.nbytes)
            cells[_LAYOUT], cells[_EPOCH] = LAYOUT, epoch

    def __enter__(self) -> None:
        """Enter with the lock held; see _locked()."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    async def _locked(self) -> Self:
        """Take the file's lock, to be let go of by `with`."""
        if not self._try_lock():
            await self._wait_for_lock()
        return self

    async def _wait_for_lock(self) -> None:
        """Poll: others hold the lock for microseconds, unless one was stopped in the middle."""
        give_up = current_time() + LOCK_TIMEOUT
        while not self._try_lock():
            if current_time() > give_up:
                raise OutputError(
                    f"{self._name} has been locked for {LOCK_TIMEOUT:g} s by a process that hangs; end it"
                )
            await anyio.sleep(LOCK_POLL)

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@asynccontextmanager
async def file_pacer(path: Path, limits: RateLimit) -> AsyncIterator[FilePacer]:
    """Open the pacer that all processes with the same `path` share; raises ConfigError where it can't be written."""
    with (
        _open(path) as descriptor,
        mmap.mmap(descriptor, 8 * Pace.CELLS) as mapped,
        memoryview(mapped) as view,
        view.cast("d") as cells,
    ):
        pacer = FilePacer(descriptor, cells, limits, str(path))
        await pacer.forget_if_stale()
        yield pacer


@contextmanager
def _open(path: Path) -> Iterator[int]:
    try:
        make_private_folder(path.parent)
        descriptor = open_file(path, O_RDWR | O_CREAT, PRIVATE)
    except (OSError, OutputError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        way_out = 'make its folder writable, or set limits.pacer = "process"'
        raise ConfigError("limits.pacer", [f"{path} can't be opened ({reason}); {way_out}"]) from exc
    try:
        ftruncate(descriptor, 8 * Pace.CELLS)
        yield descriptor
    finally:
        close(descriptor)
