"""A decoder process's own side: its parent, its deadline, and its memory."""

from __future__ import annotations

import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.decoding.messages import receive, send

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
def deadline(seconds: float, processor_seconds: float = 0.0) -> Iterator[None]:
    """End this process if the block takes longer, or uses more time of the processor (0: as much as it likes).

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
