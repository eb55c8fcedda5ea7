"""A decoder process's own side: its parent, its deadline, and its memory."""

from __future__ import annotations

import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from math import inf
from pathlib import Path
from typing import Final

from pipeline.decoding.messages import receive, send

# Seconds of processor time: for all that is not decoding, and for each px that is decoded. The slowest usual pictures
# take a tenth of it (AVIF and WebP: 0.03 s a megapixel, a header: some ms).
BASE_SECONDS: Final = 3.0
SECONDS_PER_PX: Final = 0.15e-6
# A decoder that waits for something has this many times as long: a busy machine slows usual pictures down tenfold.
MAX_WAIT_FACTOR: Final = 2
_STDIN = 0
_STATUS = Path("/proc/self/statm")


class Parent:
    """The process that this one works for; it is connected to stdin."""

    def __init__(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)  # started in time
        self._connection = socket.socket(fileno=_STDIN)

    def receive(self) -> bytes | None:
        """Return the next message, or None if the parent has ended, or wants this process to end."""
        return receive(self._connection)

    def send(self, *messages: bytes) -> None:
        """Send messages."""
        send(self._connection, *messages)


@contextmanager
def deadline(seconds: float, processor_seconds: float) -> Iterator[None]:
    """End this process if the block takes longer, or uses more time of the processor.

    The default action of SIGALRM and SIGPROF needs no help of a decoder that is busy, and works when the parent has
    been killed.
    """
    signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_PROF, processor_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)


def picture_deadline(pixels: int = 0, most_seconds: float = inf) -> AbstractContextManager[None]:
    """Return a deadline that is far longer than a picture of so many px ever takes, and at most `most_seconds`."""
    seconds = BASE_SECONDS + SECONDS_PER_PX * pixels
    return deadline(min(MAX_WAIT_FACTOR * seconds, most_seconds), seconds)


def limit_memory(max_bytes: int) -> None:
    """Let an allocation fail that would take more than `max_bytes`, before the system runs out of memory."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = max_bytes if hard == resource.RLIM_INFINITY else min(max_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def memory_bytes() -> int:
    """Return the memory that this process takes now; 0 where the system doesn't say."""
    try:
        return int(_STATUS.read_bytes().split()[1]) * resource.getpagesize()
    except OSError:
        return 0
