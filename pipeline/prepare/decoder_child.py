"""The program of a decoder process: prepares one picture after another for a run, each within a deadline.

A picture that crashes the decoder or takes too long ends this process, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.decoding.child import Parent, limit_memory, picture_deadline
from pipeline.errors import PrepareError
from pipeline.guards.picture_guard import open_image
from pipeline.prepare.decoder_messages import Settings, pack_failure, pack_needed_bytes, pack_prepared, unpack_settings
from pipeline.prepare.fit import fit, fit_from_header
from pipeline.prepare.fit_rules import FitRules
from pipeline.records import Prepared

# For the interpreter, its libraries and the threads of decoders, beside the picture.
_BASE_BYTES = 1024**3


def main() -> None:
    """Prepare what the run sends, until it closes the connection, or ends."""
    parent = Parent()
    first = parent.receive()
    if first is None:
        return
    settings = unpack_settings(first)
    limit_memory(_most_bytes(settings.rules))
    while (data := parent.receive()) is not None:
        for message in _replies(data, settings, parent):
            parent.send(message)


def _most_bytes(rules: FitRules) -> int:
    """Return the memory that a process may take: more than any header may ask for."""
    return _BASE_BYTES + rules.max_decode_bytes + 2 * rules.max_file_bytes


def _pixels(data: bytes) -> int:
    """Return the size of a picture by its header, which has been read before."""
    width, height = open_image(data).size
    return width * height


def _replies(data: bytes, settings: Settings, parent: Parent) -> Iterator[bytes]:
    """Yield the messages about one picture; one that must be decoded waits until the run has the memory for it."""
    try:
        with picture_deadline(most_seconds=settings.timeout):
            prepared = fit_from_header(data, settings.rules)
        if not isinstance(prepared, Prepared):
            yield pack_needed_bytes(prepared)
            if parent.receive() is None:
                return
            with picture_deadline(_pixels(data), settings.timeout):
                prepared = fit(data, settings.rules)
    except PrepareError as exc:
        yield pack_failure(exc)
        return
    yield pack_prepared(prepared)
    if prepared.action != "passed":
        yield prepared.data
