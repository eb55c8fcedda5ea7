"""Perceived colour: sRGB to CIE Lab (D65), and the dominant colours and accent colour of a picture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

CLUSTERS = 6
MAX_ITERATIONS = 12
SIDE_PX = 32
# A dominant colour covers at least this share of the picture.
MIN_SHARE = 0.02
# Cluster centres that are closer than this (Lab units) look like one colour.
SAME_COLOR_DISTANCE = 9.0
# A backdrop is the area of one colour that reaches in from the edge: the background of a product shot, the paper of a
# card. Its pixels are within this distance (Lab units) of the edge's colour, which covers this share of the edge; for
# the accent colour they have this weight.
BACKDROP_DISTANCE, BACKDROP_EDGE_SHARE, BACKDROP_WEIGHT = 20.0, 0.7, 0.05

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])
_TO_WHITE = (_TO_XYZ / _WHITE[:, None]).T.astype(np.float32)
_steps = np.arange(256) / 255
_LINEAR = np.where(_steps <= 0.04045, _steps / 12.92, ((_steps + 0.055) / 1.055) ** 2.4).astype(np.float32)
_EDGE: Mask = np.pad(np.zeros((SIDE_PX - 2, SIDE_PX - 2), dtype=np.bool_), 1, constant_values=True)


class Palette(NamedTuple):
    """The colours of one picture as "RRGGBB": the accent, and the dominant ones with their shares, largest first."""

    accent: str
    dominant: tuple[tuple[str, float], ...]


def to_lab(rgb: Bytes) -> Floats:
    """Convert sRGB bytes (..., 3) to Lab floats (..., 3): L 0..100, a and b about -100..100."""
    xyz = _LINEAR[rgb] @ _TO_WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    lab: Floats = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
    return lab


def extract_palette(picture: Image.Image) -> Palette:
    """Cluster a picture's colours; the accent is the cluster with the largest share x (0.3 + chroma).

    A backdrop has less weight for the accent, and its full share among the dominant colours.
    """
    rgb = np.asarray(picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)).reshape(-1, 3)
    lab = to_lab(rgb)
    nearest = _cluster(lab)
    shares = np.bincount(nearest, minlength=CLUSTERS) / len(lab)
    means = np.stack([_means(nearest, rgb[:, channel], shares) for channel in range(3)], axis=1)
    centres = to_lab(np.round(means).astype(np.uint8))
    chroma = np.hypot(centres[:, 1], centres[:, 2]) / 100
    weights = np.bincount(nearest, weights=_pixel_weights(lab.reshape(SIDE_PX, SIDE_PX, 3)).ravel(), minlength=CLUSTERS)
    accent = int(np.argmax(weights * (0.3 + chroma)))
    return Palette(accent=_hex(means[accent]), dominant=_dominant(means, centres, shares))


def _pixel_weights(lab: Floats) -> Floats:
    """Return the weight of each pixel (SIDE_PX, SIDE_PX) for the accent: 1, or BACKDROP_WEIGHT in a backdrop."""
    near = np.linalg.norm(lab - np.median(lab[_EDGE], axis=0), axis=-1) < BACKDROP_DISTANCE
    if near[_EDGE].mean() < BACKDROP_EDGE_SHARE:
        return np.ones(near.shape, dtype=np.float32)
    return np.where(_flood_fill(near & _EDGE, near), BACKDROP_WEIGHT, 1).astype(np.float32)


def _flood_fill(start: Mask, area: Mask) -> Mask:
    """Return the part of `area` that is connected with `start` by the four neighbours of a pixel."""
    filled, allowed = np.pad(start, 1).ravel(), np.pad(area, 1).ravel()
    width, count = area.shape[1] + 2, -1
    while count != (count := int(np.count_nonzero(filled))):
        spread = filled.copy()
        for step in (1, width):
            spread[step:] |= filled[:-step]
            spread[:-step] |= filled[step:]
        filled = spread & allowed
    return filled.reshape(-1, width)[1:-1, 1:-1]


def _cluster(lab: Floats) -> npt.NDArray[np.intp]:
    """Run k-means from seeds that are far apart (farthest point first): equal pictures give equal colours."""
    centres = _seeds(lab)
    nearest = np.zeros(len(lab), dtype=np.intp)
    for _ in range(MAX_ITERATIONS):
        assigned = np.argmin((centres**2).sum(1) - 2 * lab @ centres.T, axis=1)
        if np.array_equal(assigned, nearest):
            break
        nearest = assigned
        shares = np.bincount(nearest, minlength=CLUSTERS) / len(lab)
        moved = np.stack([_means(nearest, lab[:, channel], shares) for channel in range(3)], axis=1)
        centres = np.where(shares[:, None] > 0, moved, centres).astype(np.float32)
    return nearest


def _seeds(lab: Floats) -> Floats:
    centres = [lab.mean(axis=0)]
    distance = np.full(len(lab), np.inf, dtype=np.float32)
    for _ in range(CLUSTERS):
        distance = np.minimum(distance, ((lab - centres[-1]) ** 2).sum(axis=1))
        centres.append(lab[int(np.argmax(distance))])
    return np.stack(centres[1:])


def _means(nearest: npt.NDArray[np.intp], values: npt.NDArray[np.generic], shares: npt.NDArray[np.float64]) -> Floats:
    sums = np.bincount(nearest, weights=values, minlength=CLUSTERS)
    means: Floats = (sums / np.maximum(shares * len(nearest), 1)).astype(np.float32)
    return means


def _dominant(means: Floats, centres: Floats, shares: npt.NDArray[np.float64]) -> tuple[tuple[str, float], ...]:
    """Merge clusters of one colour, and drop the tiny ones."""
    kept: dict[int, float] = {}
    for cluster in np.argsort(-shares, kind="stable"):
        twin = next((k for k in kept if np.linalg.norm(centres[k] - centres[cluster]) < SAME_COLOR_DISTANCE), None)
        kept[int(cluster) if twin is None else twin] = float(shares[cluster]) + (kept[twin] if twin is not None else 0)
    ranked = sorted(kept.items(), key=lambda pair: -pair[1])
    return tuple((_hex(means[k]), round(share, 3)) for k, share in ranked if share >= MIN_SHARE)


def _hex(rgb: Floats) -> str:
    red, green, blue = (round(float(channel)) for channel in rgb)
    return f"{red:02X}{green:02X}{blue:02X}"
