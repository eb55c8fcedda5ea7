"""Prepares pictures in processes: a crash, or a picture that takes too long, costs one row and one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import orjson
from anyio import CapacityLimiter, to_thread

from pipeline.decoding.pool import END_SECONDS, ProcessPool
from pipeline.decoding.process import DecoderProcess, ProcessDied, is_deadline
from pipeline.errors import PrepareError
from pipeline.prepare.budget import Budget
from pipeline.prepare.decoder_messages import (
    MAX_MESSAGE_BYTES,
    START,
    Settings,
    pack_settings,
    unpack_failure,
    unpack_prepared,
)
from pipeline.records import Prepared

T = TypeVar("T")
PROGRAM = "from pipeline.prepare.decoder_child import main; main()"


class DecoderPool:
    """At most `workers` decoder processes; each prepares one picture at a time, within the memory of `budget`.

    A process starts when it is first needed, and ends with the pool or with this process, however that ends.
    """

    def __init__(self, settings: Settings, workers: int, budget: Budget) -> None:
        self._settings = settings
        self._workers = CapacityLimiter(workers)
        self._threads = CapacityLimiter(workers)
        self._budget = budget
        self._pool = ProcessPool(PROGRAM, pack_settings(settings))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._pool.close)

    async def fit(self, data: bytes) -> Prepared:
        """Bring a picture within the rules; raises PrepareError, also where the picture ends its process.

        Cancellation ends the process.
        """
        async with self._workers:
            process = self._pool.take_idle() or await self._start()
            try:
                prepared = await self._exchange(process, data)
            except PrepareError:
                self._pool.give_back(process)
                raise
            except ProcessDied as exc:
                raise self._death(await self._end(process, END_SECONDS)) from exc
            except ValueError as exc:
                raise self._death(await self._end(process)) from exc
            except BaseException:
                await self._end(process)
                raise
            self._pool.give_back(process)
            return prepared

    async def _start(self) -> DecoderProcess:
        try:
            return await to_thread.run_sync(self._pool.start, limiter=self._threads)
        except (OSError, ProcessDied) as exc:
            problem = f"no process could be started ({getattr(exc, 'strerror', None) or 'it ended at once'})"
            raise PrepareError("decoder-died", problem, retryable=True) from exc

    async def _exchange(self, process: DecoderProcess, data: bytes) -> Prepared:
        """Hand a picture over and return what becomes of it; raises ValueError where the process sends nonsense."""
        prepared_or_bytes = await self._in_thread(lambda: self._fit_from_header(process, data))
        if isinstance(prepared_or_bytes, Prepared):
            return prepared_or_bytes
        async with self._budget.take(prepared_or_bytes):
            return await self._in_thread(lambda: self._result(process, self._ask(process, START), data))

    def _fit_from_header(self, process: DecoderProcess, data: bytes) -> Prepared | int:
        """Return a picture that need not be decoded, or the memory that decoding it takes."""
        message = self._ask(process, data)
        needed = message.get("needed_bytes")
        if needed is None:
            return self._result(process, message, data)
        if not isinstance(needed, int) or not 0 <= needed <= self._settings.rules.max_decode_bytes:
            raise ValueError("more memory than a decoder may ask for")
        return needed

    def _ask(self, process: DecoderProcess, payload: bytes) -> dict[str, Any]:
        """Send a payload and return the message that comes back; raises ValueError where that is none."""
        process.send(payload)
        message = orjson.loads(process.receive(MAX_MESSAGE_BYTES))
        if not isinstance(message, dict):
            raise ValueError("not a message")  # noqa: TRY004 - what the process sent is wrong, not our use of it
        return message

    def _result(self, process: DecoderProcess, message: Mapping[str, Any], data: bytes) -> Prepared:
        if "code" in message:
            raise unpack_failure(message)
        if message.get("action") != "passed":
            data = process.receive(self._settings.rules.max_bytes)
        return unpack_prepared(message, data)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(work, limiter=self._threads, abandon_on_cancel=True)

    async def _end(self, process: DecoderProcess, patience: float = 0.0) -> int:
        if not patience:
            process.kill()  # frees the thread that waits for it
        with anyio.CancelScope(shield=True):
            code = await to_thread.run_sync(self._pool.end, process, patience, limiter=self._threads)
        return code  # noqa: RET504 - a cancel scope may end its block, as far as type checkers know

    def _death(self, code: int) -> PrepareError:
        if is_deadline(code):
            seconds = f"{self._settings.timeout:g} s"
            return PrepareError(
                "too-slow",
                f"preparing the picture takes longer than its size, and prepare.decode_timeout ({seconds}), allow",
            )
        return PrepareError(
            "decoder-died", "the process that decoded the picture died (crash or out of memory)", retryable=True
        )
