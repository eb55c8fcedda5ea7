"""Prepares pictures in processes: a crash, or a picture that takes too long, costs one row and one process."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, cast

import anyio
import orjson
from anyio import CapacityLimiter
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

from pipeline.child_environment import child_environment
from pipeline.errors import PrepareError
from pipeline.prepare.budget import Budget
from pipeline.prepare.decoder_messages import (
    LENGTH_BYTES,
    MAX_MESSAGE_BYTES,
    START,
    Settings,
    pack_length,
    pack_settings,
    unpack_failure,
    unpack_prepared,
)
from pipeline.records import Prepared

# Imported from where this process imports it, not from what happens to lie in the working folder.
PROGRAM = "import sys; sys.path[:] = {path!r}; from pipeline.prepare.decoder_child import main; main()"
# How the pipes to a process end that has died.
_BROKEN = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)
EXIT_SECONDS = 5.0


class DecoderPool:
    """At most `workers` decoder processes; each prepares one picture at a time, within the memory of `budget`.

    A process starts when it is first needed, and ends with the pool or with this process, however that ends.
    """

    def __init__(self, settings: Settings, workers: int, budget: Budget) -> None:
        self._settings = settings
        self._workers = CapacityLimiter(workers)
        self._budget = budget
        self._idle: list[_Decoder] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._idle:
            await self._idle.pop().end(EXIT_SECONDS)

    async def fit(self, data: bytes) -> Prepared:
        """Bring a picture within the rules; raises PrepareError, also where the picture ends its process.

        Cancellation ends the process.
        """
        async with self._workers:
            decoder = self._take_idle() or await self._start()
            try:
                prepared = await self._exchange(decoder, data)
            except PrepareError:
                self._idle.append(decoder)
                raise
            except _BROKEN as exc:
                raise self._death(await decoder.end(EXIT_SECONDS)) from exc
            except ValueError as exc:
                await decoder.end()
                raise self._death(None) from exc
            except BaseException:
                await decoder.end()
                raise
            self._idle.append(decoder)
            return prepared

    def _take_idle(self) -> _Decoder | None:
        while self._idle:
            decoder = self._idle.pop()
            if decoder.is_alive:
                return decoder
        return None

    async def _start(self) -> _Decoder:
        command = [sys.executable, "-P", "-c", PROGRAM.format(path=sys.path)]
        try:
            process = await anyio.open_process(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=child_environment(),
                start_new_session=True,  # Ctrl-C is for the run, which drains
            )
        except OSError as exc:
            raise PrepareError("decoder-died", f"no process could be started ({exc.strerror})", retryable=True) from exc
        decoder = _Decoder(process)
        with suppress(*_BROKEN):  # its first picture shows that it is dead
            await decoder.send(pack_settings(self._settings))
        return decoder

    async def _exchange(self, decoder: _Decoder, data: bytes) -> Prepared:
        """Hand a picture over and return what becomes of it; raises ValueError where the process sends nonsense."""
        await decoder.send(data)
        message = await decoder.receive_message()
        needed = message.get("needed_bytes")
        if needed is None:
            return await self._result(decoder, message, data)
        if not isinstance(needed, int) or not 0 <= needed <= self._settings.rules.max_decode_bytes:
            raise ValueError("more memory than a decoder may ask for")
        async with self._budget.take(needed):
            await decoder.send(START)
            return await self._result(decoder, await decoder.receive_message(), data)

    async def _result(self, decoder: _Decoder, message: Mapping[str, Any], data: bytes) -> Prepared:
        if "code" in message:
            raise unpack_failure(message)
        if message.get("action") != "passed":
            data = await decoder.receive(self._settings.rules.max_bytes)
        return unpack_prepared(message, data)

    def _death(self, returncode: int | None) -> PrepareError:
        if returncode == -signal.SIGALRM:
            seconds = f"{self._settings.timeout:g} s"
            return PrepareError(
                "too-slow", f"preparing the picture takes longer than prepare.decode_timeout allows ({seconds})"
            )
        return PrepareError(
            "decoder-died", "the process that decoded the picture died (crash or out of memory)", retryable=True
        )


class _Decoder:
    """One decoder process, and the pipes to it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._stdin = cast("ByteSendStream", process.stdin)
        self._stdout = BufferedByteReceiveStream(cast("ByteReceiveStream", process.stdout))

    @property
    def is_alive(self) -> bool:
        """True until the process is known to have ended."""
        return self._process.returncode is None

    async def send(self, payload: bytes) -> None:
        """Send a payload."""
        await self._stdin.send(pack_length(payload))
        await self._stdin.send(payload)

    async def receive(self, most: int) -> bytes:
        """Return the next payload; raises ValueError where it is longer than `most` bytes."""
        length = int.from_bytes(await self._stdout.receive_exactly(LENGTH_BYTES), "big")
        if length > most:
            raise ValueError("longer than any message")
        return await self._stdout.receive_exactly(length)

    async def receive_message(self) -> dict[str, Any]:
        """Return the next payload as a JSON object; raises ValueError where it is none."""
        message = orjson.loads(await self.receive(MAX_MESSAGE_BYTES))
        if not isinstance(message, dict):
            raise ValueError("not a message")  # noqa: TRY004 - what the process sent is wrong, not our use of it
        return message

    async def end(self, patience: float = 0.0) -> int | None:
        """Let the process end by itself for `patience` seconds, then kill it; return its exit code."""
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(patience):
                await self._stdin.aclose()
                await self._process.wait()
            if self._process.returncode is None:
                self._process.kill()
            await self._process.aclose()
        return self._process.returncode
