"""The one reason why a run ends early, and how it is asked to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import anyio
from anyio import RunFinishedError, from_thread
from anyio.lowlevel import EventLoopToken, current_token

from pipeline.errors import PipelineError, StopRequested


class Stop:
    """Asks a run to stop: it takes on nothing new, finishes what is in flight, commits, and says why.

    Give it to `run` and call `ask` whenever the run is to stop, from any thread. The first call gives the reason;
    the run calls what it has put into `then` at once.
    """

    def __init__(self) -> None:
        self.cause: PipelineError | None = None
        self.asked = anyio.Event()
        self.then: list[Callable[[], None]] = []
        self._loop: EventLoopToken | None = None
        self._thread = threading.get_ident()

    def ask(self, cause: PipelineError | None = None) -> None:
        """Ask the run to stop and to end with the exit code of `cause`."""
        reason = cause or StopRequested("stopped by its caller; run again to go on")
        if self._loop is None or threading.get_ident() == self._thread:
            self._ask(reason)
            return
        with suppress(RunFinishedError):
            from_thread.run_sync(self._ask, reason, token=self._loop)

    def bind(self) -> None:
        """Let the run in this event loop be the one that is stopped."""
        self._loop, self._thread = current_token(), threading.get_ident()

    def on_ask(self, *actions: Callable[[], None]) -> None:
        """Do these when the run is asked to stop, in place of what was to be done before; at once if it has been."""
        self.then = list(actions)
        if self.cause is not None:
            self._act()

    def _ask(self, cause: PipelineError) -> None:
        if self.cause is None:
            self.cause = cause
            self.asked.set()
            self._act()

    def _act(self) -> None:
        for action in self.then:
            action()
