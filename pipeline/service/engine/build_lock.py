"""Lets only one process build an index at a time."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.guards.private_files import open_private

log = logging.getLogger("pipeline.service")
# How often a waiting builder tries the lock.
POLL_SECONDS = 0.1


@contextmanager
def hold_build_lock(index_dir: Path, while_waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the folder's lock, which a process that dies releases.

    A second builder calls `while_waiting` again and again until the lock is free; it may raise to stop the wait.
    """
    with open_private(index_dir / "lock", "wb") as lock:
        if not _acquire(lock):
            log.warning("%s: another process builds this index; waiting until it is done", index_dir)
            while not _acquire(lock):
                while_waiting()
                time.sleep(POLL_SECONDS)
        yield


def _acquire(lock: BinaryIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
