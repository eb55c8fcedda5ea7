"""How tests wait for threads, processes and sockets: for the event itself, with one bound that only a hang reaches."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import anyio
import pytest

T = TypeVar("T")

HANG_SECONDS: Final = 120.0  # nothing that a test waits for takes as long, however busy the machine is
POLL_SECONDS: Final = 0.005


def wait_until(reached: Callable[[], T | None], what: str) -> T:
    """Poll `reached` until it returns something true, and return that; fail with `what` where it never does."""
    give_up = time.monotonic() + HANG_SECONDS
    while True:
        if result := reached():
            return result
        _fail_after(give_up, what)
        time.sleep(POLL_SECONDS)


async def until(reached: Callable[[], T | None], what: str) -> T:
    """Do the same as wait_until() without holding up the event loop."""
    give_up = time.monotonic() + HANG_SECONDS  # not the loop's clock, which a test may put forward
    while True:
        if result := reached():
            return result
        _fail_after(give_up, what)
        await anyio.sleep(POLL_SECONDS)


def is_pending(process: int, number: signal.Signals) -> bool:
    """Return True while a signal that was sent to a process has not reached it."""
    status = Path(f"/proc/{process}/status").read_text()
    (pending,) = (line for line in status.splitlines() if line.startswith("ShdPnd:"))
    return bool(int(pending.split()[1], 16) & 1 << number - 1)


def _fail_after(give_up: float, what: str) -> None:
    if time.monotonic() > give_up:
        pytest.fail(f"waited {HANG_SECONDS:.0f} s in vain until {what}")
