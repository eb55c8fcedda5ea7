"""The parent's side of one decoder process: starts it, exchanges messages with it, and ends it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress

from pipeline.child_environment import child_environment
from pipeline.decoding.messages import receive, send

# For starting, until the program connects to its parent.
START_SECONDS = 60.0
# Imported from where this process imports it, not from what happens to lie in the working folder.
_START = "import signal, sys; signal.setitimer(signal.ITIMER_REAL, {seconds}); sys.path[:] = {path!r}\n{program}"
# What ends a process at its deadline: see child.deadline().
_DEADLINES = {-signal.SIGALRM, -signal.SIGPROF}


class ProcessDied(Exception):
    """A decoder process has ended in the middle of its work."""


class DecoderProcess:
    """A process that runs `program`, a text of Python; it works for one thread at a time.

    Starting it raises OSError if the system has no process to give. It ends with this process, however that ends.
    """

    def __init__(self, program: str) -> None:
        self._connection, theirs = socket.socketpair()
        self._in_use = threading.Lock()
        source = _START.format(seconds=START_SECONDS, path=sys.path, program=program)
        with theirs:
            try:
                self._popen = subprocess.Popen(  # noqa: S603 - our own interpreter and text
                    [sys.executable, "-P", "-c", source],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=child_environment(),
                    start_new_session=True,  # Ctrl-C is for the parent, which ends its processes itself
                )
            except BaseException:
                self._connection.close()
                raise

    @property
    def is_alive(self) -> bool:
        """True until the process has ended."""
        return self._popen.poll() is None

    def send(self, *messages: bytes) -> None:
        """Send messages; raises ProcessDied."""
        with self._in_use:
            try:
                send(self._connection, *messages)
            except OSError as exc:
                raise ProcessDied from exc

    def receive(self, max_bytes: int) -> bytes:
        """Return the next message; raises ProcessDied, and ValueError if it has more than `max_bytes`."""
        with self._in_use:
            message = receive(self._connection, max_bytes)
        if message is None:
            raise ProcessDied
        return message

    def kill(self) -> None:
        """End the process at once; a thread that waits for it gets ProcessDied."""
        self._popen.kill()

    def end(self, patience: float = 0.0) -> int:
        """Let the process end by itself for `patience` seconds, then kill it; return its exit code.

        It is that of subprocess: a signal that ended the process is negative.
        """
        if patience:
            with suppress(OSError, subprocess.TimeoutExpired):
                self._connection.shutdown(socket.SHUT_WR)
                self._popen.wait(patience)
        self._popen.kill()
        code: int = self._popen.wait()
        with self._in_use:  # not while a thread still reads from it
            self._connection.close()
        return code


def is_deadline(code: int) -> bool:
    """Return True if a process ended with this exit code because it took too long."""
    return code in _DEADLINES
