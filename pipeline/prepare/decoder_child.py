"""The program of a decoder process: prepares one picture after another for a run, each within a deadline.

A picture that crashes the decoder or takes too long ends this process, and nothing else.
"""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from pipeline.errors import PrepareError
from pipeline.prepare.decoder_messages import (
    LENGTH_BYTES,
    Settings,
    pack_failure,
    pack_length,
    pack_needed_bytes,
    pack_prepared,
    unpack_settings,
)
from pipeline.prepare.fit import fit, fit_from_header
from pipeline.prepare.fit_rules import FitRules
from pipeline.records import Prepared

# For the interpreter, its libraries and the threads of decoders, beside the picture.
_BASE_BYTES = 1024**3


def main() -> None:
    """Prepare what comes on stdin until the run closes it, or ends."""
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    first = _receive(stdin)
    if first is None:
        return
    settings = unpack_settings(first)
    _limit_memory(settings.rules)
    while (data := _receive(stdin)) is not None:
        for payload in _replies(data, settings, stdin):
            stdout.write(pack_length(payload))
            stdout.write(payload)
            stdout.flush()


def _limit_memory(rules: FitRules) -> None:
    """Let an allocation fail that is far over what the header showed, before the system runs out of memory."""
    most = _BASE_BYTES + rules.max_decode_bytes + 2 * rules.max_file_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _replies(data: bytes, settings: Settings, stdin: BinaryIO) -> Iterator[bytes]:
    """Yield the messages about one picture; one that must be decoded waits until the run has the memory for it."""
    try:
        with _deadline(settings.timeout):
            prepared = fit_from_header(data, settings.rules)
        if not isinstance(prepared, Prepared):
            yield pack_needed_bytes(prepared)
            if _receive(stdin) is None:
                return
            with _deadline(settings.timeout):
                prepared = fit(data, settings.rules)
    except PrepareError as exc:
        yield pack_failure(exc)
        return
    yield pack_prepared(prepared)
    if prepared.action != "passed":
        yield prepared.data


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """End this process if the block takes longer.

    SIGALRM's default action needs no help of a decoder that is busy, and works when the run itself has been killed.
    """
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _receive(stdin: BinaryIO) -> bytes | None:
    """Return the next payload, or None if the run has closed the pipe."""
    head = stdin.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    length = int.from_bytes(head, "big")
    payload = stdin.read(length)
    return payload if len(payload) == length else None
