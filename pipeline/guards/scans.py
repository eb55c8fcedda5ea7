"""Look at the scans of a JPEG: each can repeat the whole picture, so a small file can take minutes to decode."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Real encoders write about ten scans, attacks thousands. 200 scans of 1,500 x 1,500 px take half a second.
MAX_SCANS = 200
_SOS = b"\xff\xda"
# Inside entropy-coded data FF is followed by 00, by a restart marker, or by another FF.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# What has a length after its marker. Decoders treat anything else between segments in ways of their own.
_SEGMENT = re.compile(rb"\xff+([\xc0-\xcf\xda-\xfe])(..)", re.DOTALL)
_EOI = re.compile(rb"\xff+\xd9")
_MAX_SEGMENTS = 10_000


class _Irregular(Exception):
    """The file is no plain sequence of segments."""


def has_too_many_scans(data: bytes) -> bool:
    """Return True if a JPEG has more than MAX_SCANS scans, whatever kind they are.

    A file that is no plain sequence of segments is judged by its SOS markers, wherever they are.
    """
    if data.count(_SOS) <= MAX_SCANS:  # the usual case, 0.1 ms for a megabyte
        return False
    try:
        return any(number > MAX_SCANS for number, _ in enumerate(_scans(data), start=1))
    except _Irregular:
        return True


def first_scan_has(components: int, data: bytes) -> bool:
    """Return True if the first scan of a JPEG has this many components: if all, it may be the only scan."""
    try:
        start = next(_scans(data), None)
    except _Irregular:
        return False
    return start is not None and data[start : start + 1] == bytes([components])


def _scans(data: bytes) -> Iterator[int]:
    """Yield where the header of each scan starts, up to the end of the first picture: a video may follow it."""
    start = 2
    for _ in range(_MAX_SEGMENTS):
        if _EOI.match(data, start):
            return
        segment = _SEGMENT.match(data, start)
        if segment is None:
            raise _Irregular
        start = segment.start(2) + int.from_bytes(segment[2], "big")
        if segment[1] == _SOS[1:]:
            yield segment.end()
            marker = _NEXT_MARKER.search(data, start)
            if marker is None:
                return
            start = marker.start()
    raise _Irregular
