"""Event loops whose clock belongs to the test: one jumps from timer to timer, one is real and can be put forward."""

from __future__ import annotations

import asyncio
import selectors


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: moves its clock to the next timer instead."""

    now = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if timeout is None and not ready:
            raise RuntimeError("everything waits for something that will never come")
        if not ready:
            self.now += max(0.0, timeout or 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only in sleeps, and then at once; not for sockets and threads."""

    def __init__(self) -> None:
        self.selector = _JumpingSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        """Return the selector's clock."""
        return self.selector.now


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop in real time, for sockets and threads, until leap() puts its clock forward."""

    leapt = 0.0

    def time(self) -> float:
        """Return the machine's clock and all leaps."""
        return super().time() + self.leapt


def leap(seconds: float) -> None:
    """Put the running loop's clock forward: what waits for that long is due now, and no test waits for it."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, LeapingLoop)
    loop.leapt += seconds
