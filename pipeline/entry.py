"""Where the command starts: a signal ends it quietly from the first moment, while the rest is still being imported."""

from __future__ import annotations

import os
import signal
from types import FrameType


def main() -> None:
    """Run the command line; a run takes signals over as soon as it has something to finish."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and background jobs of a shell
            signal.signal(number, _leave)
    from pipeline.cli import main as command  # noqa: PLC0415 - it takes a second, in which a signal may come

    command()


def _leave(number: int, _: FrameType | None) -> None:
    """End at once: whatever is half done, is undone or ended when the job is opened the next time."""
    os.write(2, f"image-insights: stopped by {signal.Signals(number).name}\n".encode())
    os._exit(128 + number)
