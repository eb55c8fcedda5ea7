"""The embedded service as a child process on a free loopback port; it never outlives the run that started it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final, cast

import anyio
import orjson
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

from pipeline.child_environment import child_environment
from pipeline.errors import ExitCode, PipelineError, ServiceError, Stalled, UsageError
from pipeline.guards.private_files import PRIVATE, open_file
from pipeline.local.embedded import check_packages

STOP_SECONDS = 10.0
# The service says every few seconds how far its index is, as long as it moves.
SILENCE_SECONDS = 300.0
LOOK_SECONDS = 1.0
READY_LINE_BYTES: Final = 65_536


class EmbeddedService:
    """A Backend that runs `command`, the service, from `open` to `close`; what it says goes to `log`.

    It also ends by itself when this process dies, because its stdin closes. `max_concurrency` is how many requests it
    works on at once, 0 for as many as come.
    """

    starts_on_demand = True  # its index takes time, and a night with nothing to send needs no service

    def __init__(self, command: list[str], log: Path, *, max_concurrency: int = 0) -> None:
        self.max_concurrency = max_concurrency
        self._command = command
        self._log = log
        self._process: Process | None = None

    def check(self) -> None:
        """See Backend."""
        check_packages()

    async def open(self) -> str:
        """See Backend; raises Stalled where the service says nothing for too long, ServiceError, UsageError."""
        self.check()
        with os.fdopen(open_file(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE), "wb") as errors:
            self._process = await anyio.open_process(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=child_environment(),
                start_new_session=True,
            )
        return f"http://127.0.0.1:{await _port(self._process, self._log)}/v7.0"

    async def close(self) -> None:
        """See Backend."""
        if self._process is not None:
            with anyio.CancelScope(shield=True):
                await _end(self._process)

    async def died(self) -> ServiceError:
        """See Backend."""
        if self._process is None:
            await anyio.sleep_forever()
        code = await cast("Process", self._process).wait()
        return ServiceError(f"the embedded service has died (exit code {code}); see service.log, and run again")


async def _port(process: Process, log: Path) -> int:
    """Wait for the line that names the port; building the index of a large catalogue may take its time.

    Raises Stalled where the service says nothing for SILENCE_SECONDS, in its log or here.
    """
    stdout = BufferedByteReceiveStream(cast("ByteReceiveStream", process.stdout))
    length, since = 0, anyio.current_time()
    try:
        while anyio.current_time() - since < SILENCE_SECONDS:
            with anyio.move_on_after(LOOK_SECONDS):  # what has arrived of the line is kept for the next look
                return int(orjson.loads(await stdout.receive_until(b"\n", READY_LINE_BYTES))["port"])
            if (longer := log.stat().st_size) > length:  # noqa: ASYNC240 - a look at a file that is open costs nothing
                length, since = longer, anyio.current_time()
    except (anyio.IncompleteRead, anyio.DelimiterNotFound, orjson.JSONDecodeError, KeyError):
        raise await _not_started(process, log) from None
    raise Stalled(
        f"the embedded service got no further with its index for {SILENCE_SECONDS:.0f} s; does the disk of the "
        f"catalogue answer? how far it came is in {log}; run again"
    )


async def _not_started(process: Process, log: Path) -> PipelineError:
    """Return what the service said last; a UsageError where its catalogue or model is wrong."""
    with anyio.move_on_after(STOP_SECONDS):
        await process.wait()
    lines = log.read_text(errors="replace").strip().splitlines()  # noqa: ASYNC240 - nothing else runs yet
    kind = UsageError if process.returncode == ExitCode.USAGE else ServiceError
    why = lines[-1] if lines else "it said nothing"
    return kind(f"the embedded service did not start: {why} (all it said is in {log})")


async def _end(process: Process) -> None:
    """Ask the service to stop, end it where it doesn't, and leave it where a disk that is gone holds it."""
    for end in (process.terminate, process.kill):
        if process.returncode is None:
            end()
            with anyio.move_on_after(STOP_SECONDS):
                await process.wait()
    if process.returncode is not None:
        await process.aclose()
