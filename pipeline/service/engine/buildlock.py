"""One builder of an index at a time, in whichever process."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

log = logging.getLogger("pipeline.service")
# How often a builder looks whether another one is done.
LOOK_SECONDS = 0.1


@contextmanager
def only_builder(index_dir: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Hold the folder's lock; a second builder waits, and then finds the work done. A dead holder never blocks.

    While it waits it calls `wait` again and again, which may raise to end the waiting.
    """
    with (index_dir / "lock").open("w") as lock:
        if not _take(lock):
            log.warning("%s: another process builds this index; waiting until it is done", index_dir)
            while not _take(lock):
                wait()
                time.sleep(LOOK_SECONDS)
        yield


def _take(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
