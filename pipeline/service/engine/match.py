"""Are two pictures the same? Lays one over every window of the other and compares what lies on top of each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np

from pipeline.service.engine.color import Bytes, Floats
from pipeline.service.engine.descriptors import THUMB_PX, unpack_lab

SIDE_PX = 24
COARSE_PX = 12
EDGE = 2 * THUMB_PX
# The change of exposure and tint that one and the same picture may have gone through.
MOST_GAIN, MOST_OFFSET = 1.35, 12.0
# A window covers at least this much of a side: a picture that was cropped to less is a look-alike, no copy.
_SMALLEST = 0.6
_SCALES = (1.0, 0.9, 0.8, 0.7, 0.6)
_SHIFTS = (0.0, 0.5, 1.0)
_STEPS = (6, 3, 1)
# What the coarse overlay of a true copy reaches in every case of the benchmark.
WORTH_REFINING, WORTH_RESIDUAL = 0.7, 16.0
# Where the 98th percentile lies among the 24 x 24 samples: halfway between these two.
_PEAK = [int(0.98 * (SIDE_PX**2 - 1)), int(0.98 * (SIDE_PX**2 - 1)) + 1]
# The whole picture is tried first unless a window is clearly better.
_WHOLE_BONUS = 0.02
# Two whole pictures correlate alike either way, but for rounding, which differs from machine to machine.
_TIE = 1e-4

Span = tuple[int, int]
Window = tuple[int, int, int, int]  # left, top, right, bottom in half pixels of a thumbnail


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """How well two pictures agree where they overlap.

    `ncc` is the correlation of lightness (-1..1), `fine` that of its details alone: pictures without details look like
    any part of each other. `residual` is the mean and `peak` the 98th percentile of the distance in Lab that is left
    when a mild change of exposure and tint is taken away: a high peak is a print or a part of another colour.
    `window` is the part of the one that the other covers: of the query if `within_query`, else of the candidate.
    """

    ncc: float
    residual: float
    peak: float
    fine: float
    window: Window
    within_query: bool = False


class Probe:
    """A picture's thumbnail with all that every comparison needs, computed once."""

    def __init__(self, thumb: Bytes) -> None:
        self.lab = unpack_lab(thumb)
        self.whole = _normal(_both(_ALL, self.lab[..., 0]).ravel())
        self.windows = _windows(self.lab[..., 0])
        self.cut = _cut(self.lab, (0, EDGE), (0, EDGE))
        self.target = _normal(self.cut[:, 0])


def compare(query: Probe, candidate: Probe) -> Overlay | None:
    """Find the best overlay of the query on a window of the candidate, or of the candidate on a window of the query.

    Returns None where even the best coarse one is too bad to be worth refining.
    """
    inside, outside = candidate.windows @ query.whole, query.windows @ candidate.whole
    within = bool(outside.max() > inside.max() + _TIE)
    small, large, scores = (candidate, query, outside) if within else (query, candidate, inside)
    window = _WHOLE if scores[_WHOLE_AT] >= scores.max() - _WHOLE_BONUS else _WINDOWS[int(scores.argmax())]
    if scores.max() < WORTH_REFINING or _distances(small, _part(large, window)).mean() > WORTH_RESIDUAL:
        return None
    return replace(_refine(small, large, window), within_query=within)


def is_same(overlay: Overlay) -> bool:
    """Tell whether the overlay shows one and the same picture (the strict tier; bounds measured, see the benchmark)."""
    agrees = overlay.ncc >= 0.85 and overlay.fine >= 0.6
    return agrees and overlay.residual <= 4.5 and overlay.peak <= 14.0


def is_like(overlay: Overlay) -> bool:
    """Tell whether the overlay shows at least a very like picture (the loose tier)."""
    return overlay.ncc >= 0.85 and overlay.residual <= 12.0


def _refine(small: Probe, large: Probe, window: Window) -> Overlay:
    """Move the window's edges as long as the overlay of lightness gets better."""
    best = float(_correlate(small, large, [window])[0])
    for step in _STEPS:
        while True:
            around = _neighbours(window, step)
            scores = _correlate(small, large, around)
            if scores.max() <= best:
                break
            window, best = around[int(scores.argmax())], float(scores.max())
    return _measure(small, large, window)


def _measure(small: Probe, large: Probe, window: Window) -> Overlay:
    covered = _part(large, window)
    distances = _distances(small, covered)
    light, wanted = covered[:, 0], small.cut[:, 0]
    return Overlay(
        ncc=float(_normal(light) @ small.target),
        fine=float(_normal(_details(light)) @ _normal(_details(wanted))),
        residual=float(distances.mean()),
        peak=float(np.partition(distances, _PEAK)[_PEAK].mean()),
        window=window,
    )


def _part(large: Probe, window: Window) -> Floats:
    left, top, right, bottom = window
    return _cut(large.lab, (top, bottom), (left, right))


def _distances(small: Probe, covered: Floats) -> Floats:
    """Return the distance in Lab of each sample, once a mild change of exposure and tint is taken away."""
    left = small.cut - _fit(covered, small.cut)
    distances: Floats = np.sqrt(np.einsum("ij,ij->i", left, left))
    return distances


def _details(light: Floats) -> Floats:
    """Keep what differs from its surroundings (5 x 5 samples), flattened."""
    details: Floats = light - _both(_BLUR, light.reshape(SIDE_PX, SIDE_PX)).ravel()
    return details


def _both(weights: Floats, light: Floats) -> Floats:
    """Weigh the rows and the columns alike."""
    weighed: Floats = np.matmul(np.matmul(weights, light), weights.T)
    return weighed


def _cut(lab: Floats, rows: Span, columns: Span) -> Floats:
    """Sample a part of a thumbnail: (SIDE_PX ** 2, 3)."""
    across = np.matmul(_fine(*rows), lab.transpose(2, 0, 1))
    cut: Floats = np.matmul(across, _fine(*columns).T).reshape(3, -1).T
    return cut


def _fit(source: Floats, target: Floats) -> Floats:
    """Bring each channel of `source` as near to `target` as a mild gain and offset can."""
    mean, wanted = source.mean(axis=0), target.mean(axis=0)
    centred = source - mean
    gain = (centred * (target - wanted)).sum(axis=0) / np.maximum((centred**2).sum(axis=0), 1e-3)
    gain = np.clip(gain, 1 / MOST_GAIN, MOST_GAIN)
    fitted: Floats = centred * gain + mean + np.clip(wanted - mean, -MOST_OFFSET, MOST_OFFSET)
    return fitted


def _correlate(small: Probe, large: Probe, windows: list[Window]) -> Floats:
    rows = np.array([_fine(top, bottom) for _, top, _, bottom in windows])
    columns = np.array([_fine(left, right) for left, _, right, _ in windows])
    covered: Floats = np.matmul(np.matmul(rows, large.lab[..., 0]), columns.transpose(0, 2, 1))
    scores: Floats = _normal(covered.reshape(len(windows), -1)) @ small.target
    return scores


@cache
def _neighbours(window: Window, step: int) -> list[Window]:
    left, top, right, bottom = window
    moves = [(left + a * step, top + b * step, right + c * step, bottom + d * step) for a, b, c, d in _MOVES]
    return [window, *(move for move in moves if _inside(move))]


def _inside(window: Window) -> bool:
    left, top, right, bottom = window
    least = int(_SMALLEST * EDGE)
    return min(left, top) >= 0 and max(right, bottom) <= EDGE and right - left >= least and bottom - top >= least


def _windows(light: Floats) -> Floats:
    """Sample every coarse window of a thumbnail's lightness: (windows, COARSE_PX ** 2), each of length 1."""
    count = len(_SPANS)
    sampled = (_COARSE @ light @ _COARSE.T).reshape(count, COARSE_PX, count, COARSE_PX)
    return _normal(sampled.transpose(0, 2, 1, 3).reshape(count * count, -1))


def _normal(vectors: Floats) -> Floats:
    """Take each vector's mean away and bring it to length 1; a constant one becomes zero, and correlates with none."""
    centred: Floats = vectors - np.add.reduce(vectors, axis=-1, keepdims=True) / vectors.shape[-1]
    length = np.sqrt(np.einsum("...i,...i->...", centred, centred))[..., None]
    centred *= (length > 1e-3) / np.maximum(length, 1e-3)
    return centred


def _sample(start: int, stop: int, side: int) -> Floats:
    """Weigh a thumbnail's pixels so that `side` samples cover the span (in half pixels): (side, THUMB_PX)."""
    edges = np.linspace(start / 2, stop / 2, side + 1)
    pixel = np.arange(THUMB_PX)
    cover = np.maximum(np.minimum(pixel + 1, edges[1:, None]) - np.maximum(pixel, edges[:-1, None]), 0)
    weights: Floats = (cover / cover.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights


@cache
def _fine(start: int, stop: int) -> Floats:
    return _sample(start, stop, SIDE_PX)


def _blur() -> Floats:
    """Average each sample with its two neighbours on both sides, as far as there are any."""
    near = np.abs(np.subtract.outer(np.arange(SIDE_PX), np.arange(SIDE_PX))) <= 2
    weights: Floats = (near / near.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights


_BLUR = _blur()


def _spans() -> list[Span]:
    lengths = [round(scale * EDGE) for scale in _SCALES]
    starts = ((round(shift * (EDGE - length)), length) for length in lengths for shift in _SHIFTS)
    return sorted({(start, start + length) for start, length in starts})


_SPANS = _spans()
_WINDOWS: list[Window] = [(x[0], y[0], x[1], y[1]) for y, x in product(_SPANS, _SPANS)]
_COARSE = np.concatenate([_sample(start, stop, COARSE_PX) for start, stop in _SPANS])
_ALL = _sample(0, EDGE, COARSE_PX)
_WHOLE: Window = (0, 0, EDGE, EDGE)
_WHOLE_AT = _WINDOWS.index(_WHOLE)
# One edge alone, then pans and zooms: left, top, right, bottom.
_MOVES = (
    *(
        (1, 0, 0, 0),
        (-1, 0, 0, 0),
        (0, 1, 0, 0),
        (0, -1, 0, 0),
        (0, 0, 1, 0),
        (0, 0, -1, 0),
        (0, 0, 0, 1),
        (0, 0, 0, -1),
    ),
    *((1, 0, 1, 0), (-1, 0, -1, 0), (0, 1, 0, 1), (0, -1, 0, -1), (1, 1, -1, -1), (-1, -1, 1, 1)),
)
