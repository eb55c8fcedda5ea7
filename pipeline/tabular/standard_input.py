"""Standard input as a stream whose reader can be stopped from another thread."""

from __future__ import annotations

import io
import os
from select import select

_POLL_SECONDS = 0.2


class StandardInput(io.RawIOBase):
    """A file descriptor that can be closed while a thread waits for its next byte, so that a run can always stop."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stopped = False

    def readable(self) -> bool:
        """Return True: it can be read."""
        return True

    def stop(self) -> None:
        """End the stream; a thread that waits for its next byte gets the end within 0.2 s."""
        self._stopped = True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # typeshed's Buffer needs 3.12
        """Wait for bytes, put them into `buffer` and return their number; 0 at the end or once stopped."""
        while not self._stopped:
            if select([self._descriptor], [], [], _POLL_SECONDS)[0]:
                data = os.read(self._descriptor, len(buffer))
                buffer[: len(data)] = data
                return len(data)
        return 0
