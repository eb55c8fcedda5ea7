"""Reads pictures in processes of their own: the models take seconds to load, all of a core, and may crash or hang.

A process is started when it is first needed, and ended with the service, however that ends. One that dies, or takes
too long, costs the picture it was at, and is replaced.
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

from pipeline.service.findings import Crop
from pipeline.service.text.values import Text

PACKAGES = ("rapidocr", "onnxruntime")
# A page of 80 lines takes fifteen seconds of one core, a minute of a busy machine; nobody has to wait for it.
SECONDS = 180.0
# A process at work takes 0.5 GB; a picture that would need more than this is given up.
MOST_BYTES = 2 * 1024**3
# What reading a picture takes in seconds before any has been read, and the weight of one more in the mean.
AT_FIRST, WEIGHT = 0.5, 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """The text of a picture can't be known: `reason` is one sentence; `again`: another try may bring it."""

    reason: str
    again: bool = False


def missing_package() -> str | None:
    """Name a package that reading needs and that is not installed; nothing is imported."""
    return next((name for name in PACKAGES if find_spec(name) is None), None)


class Workers:
    """At most `most` processes, each of which reads one picture at a time within `seconds`."""

    def __init__(self, most: int, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._most = most
        self._mean = AT_FIRST
        self._wanted = 0
        self._finished = anyio.Event()
        self._turns = anyio.Semaphore(most)
        self._processes = anyio.CapacityLimiter(most)

    async def idle(self) -> None:
        """Wait until nobody wants a picture to be read."""
        while self._wanted:
            await self._finished.wait()

    def wait_for(self, pictures: int) -> int:
        """Return the seconds in which so many pictures are read, going by the last ones; at least 1."""
        return max(1, math.ceil(pictures * self._mean / self._most))

    async def read(self, picture: bytes, crop: Crop) -> Text | Unread:
        """Read a part of a picture; who cancels it ends the process."""
        self._wanted += 1
        try:
            async with self._turns:
                began = anyio.current_time()
                read = await self._read(picture, crop)
                self._mean += WEIGHT * (anyio.current_time() - began - self._mean)
                return read
        finally:
            self._wanted -= 1
            self._finished.set()
            self._finished = anyio.Event()

    async def _read(self, picture: bytes, crop: Crop) -> Text | Unread:
        """Read in a process, and once more in another where it was killed, for want of memory perhaps."""
        for _ in range(2):
            with anyio.move_on_after(self._seconds):
                try:
                    return await anyio.to_process.run_sync(
                        read_here, picture, crop, cancellable=True, limiter=self._processes
                    )
                except (anyio.BrokenWorkerProcess, ProcessLookupError):  # the latter: it was gone before it could begin
                    continue
                except OSError as exc:  # no process, or no pipe to it, is to be had now
                    return Unread(reason=f"no process could be started to read the text ({exc.strerror})", again=True)
            return Unread(reason=f"the text of this picture was not read within {self._seconds:g} s", again=True)
        return Unread(reason="reading this picture's text ended the process that read it, twice", again=True)


def read_here(picture: bytes, crop: Crop) -> Text | Unread:
    """Read in this very process, which is one of the workers; whatever goes wrong is said, not raised."""
    _settle()
    try:
        from pipeline.service.text.recognise import recognise  # noqa: PLC0415 - a second and 300 MB, for workers alone

        text = recognise(picture, crop)
    except MemoryError:
        return Unread(reason="reading this picture's text takes too much memory", again=True)
    except Exception as exc:  # the models' packages have errors of their own, which only they could unpickle
        return Unread(reason=f"the text of this picture can't be read ({type(exc).__name__})")
    return text if text is not None else Unread(reason="the picture can't be decoded at the size that reading needs")


@cache
def _settle() -> None:
    """Make this process a worker: signals are for the service, which lets it finish; memory has a limit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, even while it is stuck in a picture."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)
