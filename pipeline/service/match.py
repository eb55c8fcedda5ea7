"""Are two pictures the same? Lays one over every window of the other and compares what lies on top of each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from pipeline.service.color import Bytes, Floats
from pipeline.service.descriptors import THUMB_PX, unpack_lab

SIDE_PX = 24
COARSE_PX = 12
# A window covers at least this much of a side: a picture that was cropped to less is a look-alike, no copy.
_SMALLEST = 0.6
_SCALES = (1.0, 0.9, 0.8, 0.7, 0.6)
_SHIFTS = (0.0, 0.5, 1.0)
_STEPS = (3, 2, 1)
WORTH_REFINING = 0.7

Span = tuple[int, int]
Window = tuple[int, int, int, int]  # left, top, right, bottom in pixels of a thumbnail


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """How well two pictures agree where they overlap.

    `ncc` is the correlation of lightness (-1..1), `residual` the mean and `peak` the 95th percentile of the distance
    in Lab. `window` is the part of the one that the other covers: of the query if `within_query`, else of the
    candidate.
    """

    ncc: float
    residual: float
    peak: float
    window: Window
    within_query: bool = False


class Probe:
    """A query's thumbnail with all that every comparison needs, computed once."""

    def __init__(self, thumb: Bytes) -> None:
        self.lab = unpack_lab(thumb)
        self.whole = _normal(_samples(self.lab[..., 0], COARSE_PX).ravel())
        self.windows = _windows(self.lab[..., 0])


def compare(probe: Probe, thumb: Bytes) -> Overlay | None:
    """Find the best overlay of the query on a window of the candidate, or of the candidate on a window of the query.

    Returns None where even the best one is too bad to be worth refining.
    """
    candidate = Probe(thumb)
    inside, outside = candidate.windows @ probe.whole, probe.windows @ candidate.whole
    if max(inside.max(), outside.max()) < WORTH_REFINING:
        return None
    if inside.max() >= outside.max():
        return _refine(probe.lab, candidate.lab, _WINDOWS[int(inside.argmax())])
    overlay = _refine(candidate.lab, probe.lab, _WINDOWS[int(outside.argmax())])
    return replace(overlay, within_query=True)


def is_same(overlay: Overlay) -> bool:
    """Tell whether the overlay shows one and the same picture (the strict tier)."""
    return overlay.ncc >= 0.85 and overlay.residual <= 3.0


def is_like(overlay: Overlay) -> bool:
    """Tell whether the overlay shows at least a very like picture (the loose tier)."""
    return overlay.ncc >= 0.85 and overlay.residual <= 12.0


def _refine(small: Floats, large: Floats, window: Window) -> Overlay:
    """Move the window's edges as long as the overlay of lightness gets better."""
    target = _normal(_samples(small[..., 0], SIDE_PX).ravel())
    best = float(_correlate(target, large, [window])[0])
    for step in _STEPS:
        around = _neighbours(window, step)
        scores = _correlate(target, large, around)
        while scores.size and scores.max() > best:
            window, best = around[int(scores.argmax())], float(scores.max())
            around = _neighbours(window, step)
            scores = _correlate(target, large, around)
    return _measure(small, large, window, best)


def _measure(small: Floats, large: Floats, window: Window, ncc: float) -> Overlay:
    left, top, right, bottom = window
    rows, columns = _fine(top, bottom), _fine(left, right)
    covered = np.einsum("iy,yxc,jx->ijc", rows, large, columns, optimize=True)
    whole = _fine(0, THUMB_PX)
    distance = np.linalg.norm(np.einsum("iy,yxc,jx->ijc", whole, small, whole, optimize=True) - covered, axis=2)
    peak = float(np.percentile(distance, 95))
    return Overlay(ncc=ncc, residual=float(distance.mean()), peak=peak, window=window)


def _correlate(target: Floats, large: Floats, windows: list[Window]) -> Floats:
    rows = np.stack([_fine(top, bottom) for _, top, _, bottom in windows])
    columns = np.stack([_fine(left, right) for left, _, right, _ in windows])
    covered: Floats = np.matmul(np.matmul(rows, large[..., 0]), columns.transpose(0, 2, 1))
    scores: Floats = _normal(covered.reshape(len(windows), -1)) @ target
    return scores


def _neighbours(window: Window, step: int) -> list[Window]:
    left, top, right, bottom = window
    moves = [(left + a * step, top + b * step, right + c * step, bottom + d * step) for a, b, c, d in _MOVES]
    return [move for move in moves if _inside(move)]


def _inside(window: Window) -> bool:
    left, top, right, bottom = window
    least = int(_SMALLEST * THUMB_PX)
    return min(left, top) >= 0 and max(right, bottom) <= THUMB_PX and right - left >= least and bottom - top >= least


def _windows(light: Floats) -> Floats:
    """Sample every coarse window of a thumbnail's lightness: (windows, COARSE_PX ** 2), each of length 1."""
    count = len(_SPANS)
    sampled = (_COARSE @ light @ _COARSE.T).reshape(count, COARSE_PX, count, COARSE_PX)
    return _normal(sampled.transpose(0, 2, 1, 3).reshape(count * count, -1))


def _samples(light: Floats, side: int) -> Floats:
    rows = _sample(0, THUMB_PX, side)
    sampled: Floats = np.linalg.multi_dot([rows, light, rows.T])
    return sampled


def _normal(vectors: Floats) -> Floats:
    """Take each vector's mean away and bring it to length 1; a constant one becomes zero, and correlates with none."""
    centred = vectors - vectors.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    normal: Floats = np.where(length > 1e-3, centred / np.maximum(length, 1e-3), 0)
    return normal


def _sample(start: int, stop: int, side: int) -> Floats:
    """Weigh a thumbnail's pixels so that `side` samples cover the span: (side, THUMB_PX), rows sum to 1."""
    edges = np.linspace(start, stop, side + 1)
    pixel = np.arange(THUMB_PX)
    cover = np.maximum(np.minimum(pixel + 1, edges[1:, None]) - np.maximum(pixel, edges[:-1, None]), 0)
    weights: Floats = (cover / cover.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights


def _spans() -> list[Span]:
    lengths = [round(scale * THUMB_PX) for scale in _SCALES]
    starts = ((round(shift * (THUMB_PX - length)), length) for length in lengths for shift in _SHIFTS)
    return sorted({(start, start + length) for start, length in starts})


_SPANS = _spans()
_WINDOWS: list[Window] = [(x[0], y[0], x[1], y[1]) for y, x in product(_SPANS, _SPANS)]
_COARSE = np.concatenate([_sample(start, stop, COARSE_PX) for start, stop in _SPANS])
_MOVES = [move for move in product((-1, 0, 1), repeat=4) if 1 <= sum(map(abs, move)) <= 2]
_FINE = {
    (start, stop): _sample(start, stop, SIDE_PX)
    for start in range(THUMB_PX)
    for stop in range(start + int(_SMALLEST * THUMB_PX), THUMB_PX + 1)
}


def _fine(start: int, stop: int) -> Floats:
    return _FINE[start, stop]
