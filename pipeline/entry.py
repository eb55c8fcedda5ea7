"""Where the command starts: whatever happens, it ends with one line and a true exit code, and leaves nothing temporary.

A signal ends it at any moment. What is unexpected, an import that fails too, is exit code 3: cron takes 1 for success.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from io import TextIOBase
from types import FrameType
from typing import TextIO

from pipeline.guards.printable import printable

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ABORTED = 3


def main() -> None:
    """Run the command line; a run takes signals over as soon as it has something to finish."""
    _on_signals(_end)
    _open_standard_streams()
    stdout = LossyOutput(sys.stdout)
    sys.stdout = stdout
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # a stray pickle.py where we are called is no module of our processes
    code = _guarded(_command)
    stdout.flush()
    if stdout.lost is not None:
        _tell(f"stdout can't be written ({stdout.lost.strerror})")
        # What a run is for is written to files; what other commands are for is what they print.
        code = code or (0 if "run" in sys.argv[1:2] else ABORTED)
    sys.exit(code)


def _command() -> None:
    gc.disable()  # nothing that is imported is garbage: looking for it takes a tenth of the time
    from pipeline.cli import main as command  # noqa: PLC0415 - it takes half a second, in which a signal may come

    gc.freeze()
    gc.enable()
    _on_signals(_leave)
    command()


def _guarded(command: Callable[[], None]) -> int | str | None:
    """Return the exit code of a command, ABORTED for whatever nobody expected."""
    try:
        command()
    except SystemExit as exc:
        return exc.code
    except BaseException as exc:
        _tell(f"unexpected: {type(exc).__name__}: {exc}; what was committed is safe, run again")
        return ABORTED
    return 0


class LossyOutput(TextIOBase):
    """A text stream for which a full disk or a closed end is no error: `lost` says what was, a closed pipe is not."""

    def __init__(self, stream: TextIO) -> None:
        self.lost: OSError | None = None
        self._stream: TextIO | None = stream

    def write(self, text: str) -> int:
        """Write what can be written."""
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        self._try(lambda stream: stream.flush())

    def isatty(self) -> bool:
        """Return True if a person looks at it."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor behind it."""
        return 1

    @property
    def encoding(self) -> str:  # type: ignore[override] # read-only here
        """The encoding of the stream."""
        return "utf-8" if self._stream is None else self._stream.encoding

    @property
    def buffer(self) -> object:
        """The stream's bytes, for what writes whole lines of them."""
        return getattr(self._stream, "buffer", None)

    def _try(self, act: Callable[[TextIO], object]) -> None:
        if self._stream is None:
            return
        try:
            act(self._stream)
        except BrokenPipeError:  # `| head` has seen enough
            self._give_up()
        except (OSError, ValueError) as exc:
            self.lost = exc if isinstance(exc, OSError) else OSError(0, str(exc))
            self._give_up()

    def _give_up(self) -> None:
        """Put nothing more into the stream, and let the interpreter's end find nothing to flush there."""
        self._stream = None
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _open_standard_streams() -> None:
    """Open what the caller has closed (2>&-): else the first file that is opened, a database, would take its place."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "r" if descriptor == 0 else "w", encoding="utf-8"))


def _on_signals(act: Callable[[int, FrameType | None], None]) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and background jobs of a shell
            signal.signal(number, act)


def _end(number: int, _: FrameType | None) -> None:
    """End at once: half an import can't be left in any other way without a traceback."""
    _tell(f"stopped by {signal.Signals(number).name}")
    os._exit(128 + number)


def _leave(number: int, _: FrameType | None) -> None:
    """Close what is open and end; what is half done is undone or ended when the job is opened the next time.

    A second signal doesn't wait for that, nor for a thread that is still at work.
    """
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    _tell(f"stopped by {signal.Signals(number).name}")
    sys.exit(128 + number)


def _tell(sentence: str) -> None:
    try:
        os.write(2, f"image-insights: {printable(sentence)}\n".encode())
    except OSError:
        return
