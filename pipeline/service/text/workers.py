"""Reads text in worker processes: the models take seconds to load, keep a core busy, and may crash or hang.

A process is started when it is first needed, and ends with the service, however the service ends. A process that dies
or takes too long loses only the picture that it was reading, and is replaced.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import threading
import time
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import anyio
import anyio.to_process

from pipeline.service.access.fair_queue import FairQueue
from pipeline.service.findings import Crop
from pipeline.service.text.recognised_text import RecognisedText

PACKAGES = ("rapidocr", "onnxruntime")
# A page of 80 lines takes 15 s of one core, and a minute on a busy machine. No caller waits that long (reader.py).
TIMEOUT_SECONDS = 180.0
# A busy process takes 0.5 GB; a picture that needs more than this is given up.
MAX_PROCESS_BYTES = 2 * 1024**3
# The running mean of the seconds per picture: its first value, and the weight of a new measurement.
INITIAL_SECONDS, NEW_WEIGHT = 0.5, 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFailure:
    """Why the text of a picture is not known, in one sentence; `retryable`: another attempt may succeed."""

    reason: str
    retryable: bool = False


def missing_package() -> str | None:
    """Return the name of a required package that is not installed, if any; nothing is imported."""
    return next((name for name in PACKAGES if find_spec(name) is None), None)


class OcrWorkers:
    """At most `max_processes` processes, each of which reads one picture at a time within `timeout` seconds."""

    def __init__(self, max_processes: int, timeout: float = TIMEOUT_SECONDS) -> None:
        self._timeout = timeout
        self._max_processes = max_processes
        self._mean_seconds = INITIAL_SECONDS
        self._pending = 0
        self._finished = anyio.Event()
        self._slots = FairQueue(max_processes)
        self._processes = anyio.CapacityLimiter(max_processes)

    async def wait_until_idle(self) -> None:
        """Wait until no picture is being read or waiting."""
        while self._pending:
            await self._finished.wait()

    def estimate_seconds(self, pictures: int) -> int:
        """Return the seconds that this many pictures will take, judging by the last ones; at least 1."""
        return max(1, math.ceil(pictures * self._mean_seconds / self._max_processes))

    async def read(self, picture: bytes, crop: Crop, caller: str = "") -> RecognisedText | ReadFailure:
        """Read the part `crop` of a picture when its caller's turn comes; cancellation ends the process."""
        self._pending += 1
        try:
            async with self._slots.slot(caller):
                started = anyio.current_time()
                result = await self._read(picture, crop)
                self._mean_seconds += NEW_WEIGHT * (anyio.current_time() - started - self._mean_seconds)
                return result
        finally:
            self._pending -= 1
            self._finished.set()
            self._finished = anyio.Event()

    async def _read(self, picture: bytes, crop: Crop) -> RecognisedText | ReadFailure:
        """Read in a process, and once more in another if it was killed, perhaps for lack of memory."""
        for _ in range(2):
            with anyio.move_on_after(self._timeout):
                try:
                    return await anyio.to_process.run_sync(
                        read_in_worker, picture, crop, cancellable=True, limiter=self._processes
                    )
                except (anyio.BrokenWorkerProcess, ProcessLookupError):  # the latter: killed while it started
                    continue
                except OSError as exc:  # the system has no process, or no pipe, to give
                    reason = f"no process could be started to read the text ({exc.strerror})"
                    return ReadFailure(reason=reason, retryable=True)
            reason = f"the text of this picture was not read within {self._timeout:g} s"
            return ReadFailure(reason=reason, retryable=True)
        return ReadFailure(reason="the process that read the text of this picture died twice", retryable=True)


def read_in_worker(picture: bytes, crop: Crop) -> RecognisedText | ReadFailure:
    """Read in this process, which must be a worker; every error becomes a ReadFailure."""
    _set_up_worker()
    try:
        from pipeline.service.text.ocr import recognise_text  # noqa: PLC0415 - 1 s and 300 MB, for workers only

        text = recognise_text(picture, crop)
    except MemoryError:
        return ReadFailure(reason="reading the text of this picture takes too much memory", retryable=True)
    except Exception as exc:  # the packages have exceptions of their own, which the service could not unpickle
        return ReadFailure(reason=f"the text of this picture can't be read ({type(exc).__name__})")
    return text or ReadFailure(reason="the picture can't be decoded at the size that text recognition needs")


@cache
def _set_up_worker() -> None:
    """Ignore the signals, so that the service can let a worker finish; limit the memory; exit with the service."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_PROCESS_BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()


def _exit_with_parent(parent: int) -> None:
    """End this process when its parent is gone, even while it is busy with a picture."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)
