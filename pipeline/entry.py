"""Where the command starts: a signal ends it with one line, at any moment, and nothing temporary is left."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """Run the command line; a run takes signals over as soon as it has something to finish."""
    _on_signals(_end)
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # a stray pickle.py where we are called is no module of our processes
    from pipeline.cli import main as command  # noqa: PLC0415 - it takes a second, in which a signal may come

    _on_signals(_leave)
    command()


def _on_signals(act: Callable[[int, FrameType | None], None]) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and background jobs of a shell
            signal.signal(number, act)


def _end(number: int, _: FrameType | None) -> None:
    """End at once: half an import can't be left in any other way without a traceback."""
    _tell(number)
    os._exit(128 + number)


def _leave(number: int, _: FrameType | None) -> None:
    """Close what is open and end; what is half done is undone or ended when the job is opened the next time.

    A second signal doesn't wait for that, nor for a thread that is still at work.
    """
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    _tell(number)
    sys.exit(128 + number)


def _tell(number: int) -> None:
    os.write(2, f"image-insights: stopped by {signal.Signals(number).name}\n".encode())
