"""Decides if two pictures are the same: places one over every window of the other, and compares what overlaps."""

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
# The largest change of exposure and tint for which a picture still counts as the same.
MAX_GAIN, MAX_OFFSET = 1.35, 12.0
# A window covers at least this share of a side: a picture that was cropped to less is similar, not a copy.
_MIN_SHARE = 0.6
_SCALES = (1.0, 0.9, 0.8, 0.7, 0.6)
_SHIFTS = (0.0, 0.5, 1.0)
_STEPS = (6, 3, 1)
# The coarse overlay of a true copy is at least this good in every case of the benchmark.
MIN_COARSE_NCC, MAX_COARSE_RESIDUAL = 0.7, 16.0
# The 98th percentile of the 24 x 24 samples is halfway between these two.
_PEAK = [int(0.98 * (SIDE_PX**2 - 1)), int(0.98 * (SIDE_PX**2 - 1)) + 1]
# The whole picture is preferred unless a window is better by more than this.
_WHOLE_BONUS = 0.02
# Two whole pictures correlate equally in both directions, except for rounding, which differs between machines.
_TIE = 1e-4

Span = tuple[int, int]
Window = tuple[int, int, int, int]  # left, top, right, bottom in half pixels of a thumbnail


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOverlay:
    """How well two pictures agree where they overlap.

    `ncc` is the correlation of lightness (-1..1), and `fine` that of its details only, because pictures without details
    match any part of each other. `residual` is the mean and `peak` the 98th percentile of the distance in Lab after a
    mild change of exposure and tint is removed: a high peak is a print or a part of another colour. `window` is the
    part of one picture that the other covers: of the query if `within_query`, else of the candidate.
    """

    ncc: float
    residual: float
    peak: float
    fine: float
    window: Window
    within_query: bool = False


class OverlayThumb:
    """A picture's thumbnail with everything that its comparisons need, computed once."""

    def __init__(self, thumb: Bytes) -> None:
        self.lab = unpack_lab(thumb)
        self.whole = _normalise(_apply_to_both_axes(_ALL, self.lab[..., 0]).ravel())
        self.windows = _windows(self.lab[..., 0])
        self.samples = _sample_window(self.lab, (0, EDGE), (0, EDGE))
        self.target = _normalise(self.samples[:, 0])


def best_overlay(query: OverlayThumb, candidate: OverlayThumb) -> PictureOverlay | None:
    """Return the best overlay of the query on a window of the candidate, or of the candidate on one of the query.

    Returns None if even the best coarse overlay is too bad to refine.
    """
    inside, outside = candidate.windows @ query.whole, query.windows @ candidate.whole
    within = bool(outside.max() > inside.max() + _TIE)
    small, large, scores = (candidate, query, outside) if within else (query, candidate, inside)
    window = _WHOLE if scores[_WHOLE_AT] >= scores.max() - _WHOLE_BONUS else _WINDOWS[int(scores.argmax())]
    if scores.max() < MIN_COARSE_NCC or _distances(small, _covered(large, window)).mean() > MAX_COARSE_RESIDUAL:
        return None
    return replace(_refine(small, large, window), within_query=within)


def is_same(overlay: PictureOverlay) -> bool:
    """Return True if the overlay shows one and the same picture; the bounds are measured by the benchmark."""
    agrees = overlay.ncc >= 0.85 and overlay.fine >= 0.6
    return agrees and overlay.residual <= 4.5 and overlay.peak <= 14.0


def is_similar(overlay: PictureOverlay) -> bool:
    """Return True if the overlay shows at least a very similar picture."""
    return overlay.ncc >= 0.85 and overlay.residual <= 12.0


def _refine(small: OverlayThumb, large: OverlayThumb, window: Window) -> PictureOverlay:
    """Move the window's edges as long as the correlation of lightness gets better."""
    best = float(_correlate(small, large, [window])[0])
    for step in _STEPS:
        while True:
            nearby = _nearby_windows(window, step)
            scores = _correlate(small, large, nearby)
            if scores.max() <= best:
                break
            window, best = nearby[int(scores.argmax())], float(scores.max())
    return _measure(small, large, window)


def _measure(small: OverlayThumb, large: OverlayThumb, window: Window) -> PictureOverlay:
    covered = _covered(large, window)
    distances = _distances(small, covered)
    light, wanted = covered[:, 0], small.samples[:, 0]
    return PictureOverlay(
        ncc=float(_normalise(light) @ small.target),
        fine=float(_normalise(_details(light)) @ _normalise(_details(wanted))),
        residual=float(distances.mean()),
        peak=float(np.partition(distances, _PEAK)[_PEAK].mean()),
        window=window,
    )


def _covered(large: OverlayThumb, window: Window) -> Floats:
    left, top, right, bottom = window
    return _sample_window(large.lab, (top, bottom), (left, right))


def _distances(small: OverlayThumb, covered: Floats) -> Floats:
    """Return the distance in Lab of each sample, after a mild change of exposure and tint is removed."""
    difference = small.samples - _fit(covered, small.samples)
    distances: Floats = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return distances


def _details(light: Floats) -> Floats:
    """Return the difference of each sample from the mean around it (5 x 5 samples), flattened."""
    details: Floats = light - _apply_to_both_axes(_BLUR, light.reshape(SIDE_PX, SIDE_PX)).ravel()
    return details


def _apply_to_both_axes(weights: Floats, light: Floats) -> Floats:
    weighted: Floats = np.matmul(np.matmul(weights, light), weights.T)
    return weighted


def _sample_window(lab: Floats, rows: Span, columns: Span) -> Floats:
    """Sample a part of a thumbnail: (SIDE_PX ** 2, 3)."""
    across = np.matmul(_fine_weights(*rows), lab.transpose(2, 0, 1))
    samples: Floats = np.matmul(across, _fine_weights(*columns).T).reshape(3, -1).T
    return samples


def _fit(source: Floats, target: Floats) -> Floats:
    """Change each channel of `source` by a mild gain and offset, so that it is as close to `target` as possible."""
    mean, wanted = source.mean(axis=0), target.mean(axis=0)
    centred = source - mean
    gain = (centred * (target - wanted)).sum(axis=0) / np.maximum((centred**2).sum(axis=0), 1e-3)
    gain = np.clip(gain, 1 / MAX_GAIN, MAX_GAIN)
    fitted: Floats = centred * gain + mean + np.clip(wanted - mean, -MAX_OFFSET, MAX_OFFSET)
    return fitted


def _correlate(small: OverlayThumb, large: OverlayThumb, windows: list[Window]) -> Floats:
    rows = np.array([_fine_weights(top, bottom) for _, top, _, bottom in windows])
    columns = np.array([_fine_weights(left, right) for left, _, right, _ in windows])
    covered: Floats = np.matmul(np.matmul(rows, large.lab[..., 0]), columns.transpose(0, 2, 1))
    scores: Floats = _normalise(covered.reshape(len(windows), -1)) @ small.target
    return scores


@cache
def _nearby_windows(window: Window, step: int) -> list[Window]:
    left, top, right, bottom = window
    moves = [(left + a * step, top + b * step, right + c * step, bottom + d * step) for a, b, c, d in _MOVES]
    return [window, *(move for move in moves if _is_valid(move))]


def _is_valid(window: Window) -> bool:
    left, top, right, bottom = window
    shortest = int(_MIN_SHARE * EDGE)
    return min(left, top) >= 0 and max(right, bottom) <= EDGE and right - left >= shortest and bottom - top >= shortest


def _windows(light: Floats) -> Floats:
    """Sample every coarse window of a thumbnail's lightness: (windows, COARSE_PX ** 2), each of length 1."""
    count = len(_SPANS)
    sampled = (_COARSE @ light @ _COARSE.T).reshape(count, COARSE_PX, count, COARSE_PX)
    return _normalise(sampled.transpose(0, 2, 1, 3).reshape(count * count, -1))


def _normalise(vectors: Floats) -> Floats:
    """Subtract each vector's mean and scale it to length 1; a constant one becomes zero, and correlates with none."""
    centred: Floats = vectors - np.add.reduce(vectors, axis=-1, keepdims=True) / vectors.shape[-1]
    length = np.sqrt(np.einsum("...i,...i->...", centred, centred))[..., None]
    centred *= (length > 1e-3) / np.maximum(length, 1e-3)
    return centred


def _sampling_weights(start: int, stop: int, side: int) -> Floats:
    """Return weights for a thumbnail's pixels that give `side` samples of a span (in half pixels): (side, THUMB_PX)."""
    edges = np.linspace(start / 2, stop / 2, side + 1)
    pixel = np.arange(THUMB_PX)
    cover = np.maximum(np.minimum(pixel + 1, edges[1:, None]) - np.maximum(pixel, edges[:-1, None]), 0)
    weights: Floats = (cover / cover.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights


@cache
def _fine_weights(start: int, stop: int) -> Floats:
    return _sampling_weights(start, stop, SIDE_PX)


def _blur_weights() -> Floats:
    """Return weights that average each sample with its two neighbours on both sides, if it has them."""
    near = np.abs(np.subtract.outer(np.arange(SIDE_PX), np.arange(SIDE_PX))) <= 2
    weights: Floats = (near / near.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights


_BLUR = _blur_weights()


def _spans() -> list[Span]:
    lengths = [round(scale * EDGE) for scale in _SCALES]
    starts = ((round(shift * (EDGE - length)), length) for length in lengths for shift in _SHIFTS)
    return sorted({(start, start + length) for start, length in starts})


_SPANS = _spans()
_WINDOWS: list[Window] = [(x[0], y[0], x[1], y[1]) for y, x in product(_SPANS, _SPANS)]
_COARSE = np.concatenate([_sampling_weights(start, stop, COARSE_PX) for start, stop in _SPANS])
_ALL = _sampling_weights(0, EDGE, COARSE_PX)
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
