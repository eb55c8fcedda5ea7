"""The views of a query that the search uses: as it is, mirrored, and without the frame around it, if it has one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.service.engine.descriptors import Features, describe
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.findings import Crop

SIDE_PX = 96
# A frame has one colour, is on all four sides, and takes between 1 % and 20 % of each.
MIN_FRAME, MAX_FRAME = 0.01, 0.2
# The most that a channel of a frame's pixels may differ, of 255.
_MAX_DEVIATION = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryView:
    """One view of the query: the features of the part `box` of it."""

    features: Features
    mirrored: bool
    box: Crop = WHOLE


def views_of(picture: Image.Image) -> tuple[QueryView, ...]:
    """Compute the features of an RGB picture upright and mirrored, and again without its frame."""
    return tuple(
        QueryView(features=features, mirrored=mirrored, box=box)
        for box in filter(None, (WHOLE, find_frame(picture)))
        for mirrored, features in zip((False, True), describe(_cut(picture, box)), strict=True)
    )


def find_frame(picture: Image.Image) -> Crop | None:
    """Return the box inside a frame of one colour; None if there is no frame."""
    pixels = np.asarray(picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.NEAREST)).astype(np.int16)
    even = np.abs(pixels - pixels[0, 0]).max(axis=2) <= _MAX_DEVIATION
    rows, columns = even.mean(axis=1) > 0.98, even.mean(axis=0) > 0.98
    sides = [_depth(columns), _depth(rows), _depth(columns[::-1]), _depth(rows[::-1])]
    if not all(MIN_FRAME <= side <= MAX_FRAME for side in sides):
        return None
    left, top, right, bottom = sides
    return left, top, 1 - right, 1 - bottom


def _depth(even: npt.NDArray[np.bool_]) -> float:
    """Return how far the lines of one colour reach in from the edge, as a fraction."""
    return float(np.argmin(even)) / SIDE_PX if not even.all() else 1.0


def _cut(picture: Image.Image, box: Crop) -> Image.Image:
    if box == WHOLE:
        return picture
    left, top, right, bottom = box
    width, height = picture.size
    return picture.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))
