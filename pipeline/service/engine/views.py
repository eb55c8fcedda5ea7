"""The views of a query that are searched for: as it is, mirrored, and without the frame around it, if it has one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.service.engine.descriptors import Features, describe
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.findings import Crop

SIDE_PX = 96
# A frame is of one colour, lies on all four sides, and takes between 1 % and 20 % of each.
THINNEST, THICKEST = 0.01, 0.2
_EVEN = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One way to look at the query; `box` is the part of it that is seen."""

    features: Features
    mirrored: bool
    box: Crop = WHOLE


def views_of(picture: Image.Image) -> tuple[View, ...]:
    """Describe an RGB picture upright and mirrored, and again without its frame."""
    return tuple(
        View(features=features, mirrored=mirrored, box=box)
        for box in filter(None, (WHOLE, find_frame(picture)))
        for mirrored, features in zip((False, True), describe(_part(picture, box)), strict=True)
    )


def find_frame(picture: Image.Image) -> Crop | None:
    """Return the box inside a frame of one colour; None where there is no frame."""
    pixels = np.asarray(picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.NEAREST)).astype(np.int16)
    even = np.abs(pixels - pixels[0, 0]).max(axis=2) <= _EVEN
    rows, columns = even.mean(axis=1) > 0.98, even.mean(axis=0) > 0.98
    sides = [_depth(columns), _depth(rows), _depth(columns[::-1]), _depth(rows[::-1])]
    if not all(THINNEST <= side <= THICKEST for side in sides):
        return None
    left, top, right, bottom = sides
    return left, top, 1 - right, 1 - bottom


def _depth(even: npt.NDArray[np.bool_]) -> float:
    """Return how far, as a fraction, the even lines reach in from the edge."""
    return float(np.argmin(even)) / SIDE_PX if not even.all() else 1.0


def _part(picture: Image.Image, box: Crop) -> Image.Image:
    if box == WHOLE:
        return picture
    left, top, right, bottom = box
    width, height = picture.size
    return picture.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))
