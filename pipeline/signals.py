"""How the command line stops a run on a signal; a library leaves signals to its application."""

from __future__ import annotations

import os
import signal

import anyio

from pipeline.errors import Signalled
from pipeline.runner.stop import Stop

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def stop_on_signals(stop: Stop) -> None:
    """Ask the run to stop at the first signal; exit at once at the second. Signals that are ignored stay ignored."""
    heeded = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    with anyio.open_signal_receiver(*heeded) as received:
        async for number in received:
            if stop.cause is not None:
                _say(f"{number.name} again: stopped at once; what was committed is safe, run again to go on")
                os._exit(128 + number)
            _say(
                f"{number.name}: finishing what is in flight, which takes 30 s at most; "
                "run again to go on, send the signal again to stop at once"
            )
            stop.ask(Signalled(number.name, number))


def _say(sentence: str) -> None:
    os.write(2, f"image-insights: {sentence}\n".encode())
