"""Tells copies of a picture from pictures that only look like it, by comparing the search's candidates in detail.

A thumbnail of 48 px can't show a clock's hands. Here both pictures are laid over each other at up to 128 px and
compared block by block, in colour. A copy that was scaled or encoded again agrees in every block. One that was edited
may differ in some, if enough of the others show details that no two pictures share by chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from pipeline.service.engine.color import Bytes, Floats
from pipeline.service.engine.overlay import EDGE, MAX_GAIN, MAX_OFFSET, PictureOverlay
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.engine.views import QueryView
from pipeline.service.findings import Crop

CopyKind = Literal["same", "edited", "mirrored"]
STORED_PX, _BLOCKS = 256, 16
_MOST_BLOCK_PX, _LEAST_BLOCK_PX = 8, 2
# The mean difference of a block that agrees, of 255 levels, and the share of such blocks in a copy as a whole. Measured
# on 17 photographs and the 66 products and prints of the sample: encoded again (JPEG 40, WebP, GIF), scaled to a fifth,
# cropped by 10 % or framed, 154 of 158 are told to be copies; of 3,321 pairs of others, none is. A text or a sticker on
# a photograph is seen through in 27 of 34; on a flat drawing it makes another picture.
_AGREES, _LEAST_EVERYWHERE = 14.0, 0.8
# The most that the mean colour of a block may differ in a copy as a whole, of the worst block and of nine in ten:
# sharpness has no effect on that. A GIF's palette shifts single blocks by 20, but nine in ten by 5 at most, and JPEG 15
# by 6.5; the same product in a colour that is hardly another shifts all of its blocks, by 10. Other exposure shifts
# colours too, so nine in ten are looked at only where it is the same.
_MOST_SHIFTED, _MOST_SHIFTED_MOSTLY = 20.0, 8.0
# A picture whose exposure or tint was changed by more than this, in levels, was edited.
_MOST_CHANGED = 6.0
# Standard deviation of lightness in a block that shows details, and the share of such blocks that agree in an edited
# copy, and of all blocks.
_DETAILED, _LEAST_DETAILED, _LEAST_AGREEING = 5.0, 0.45, 0.75
# How far proportions of a copy that was only scaled may differ, from rounding.
_SAME_PROPORTION = 0.03
_STEPS = (4, 2, 1)  # in stored px
_MOVES = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]])


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailedPicture:
    """A picture for comparisons: stretched to 256 px, with the proportion and the shorter side of the original."""

    square: Image.Image
    proportion: float
    shorter_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How well two pictures agree block by block.

    `worst` is the largest difference of a block's mean colour, and `shifted` the largest of the nine in ten blocks that
    differ least. `agreeing` is the share of blocks that agree, `detailed` that of blocks that agree and show details,
    `mean` the mean difference of all. `changed` is by how many levels exposure was changed to compare them.
    """

    worst: float
    shifted: float
    agreeing: float
    detailed: float
    mean: float
    changed: float


def detailed(pixels: Bytes, width: int, height: int) -> DetailedPicture:
    """Return what comparisons need: `pixels` (256, 256, 3) show the whole picture of `width` x `height` px."""
    return DetailedPicture(square=Image.fromarray(pixels), proportion=width / height, shorter_px=min(width, height))


def copy_kind(
    query: DetailedPicture, candidate: DetailedPicture, view: QueryView, overlay: PictureOverlay
) -> tuple[CopyKind, float] | None:
    """Return what the candidate is of the query, and how well they agree (0..1); None if it is no copy.

    `view` and `overlay` say where the search has laid one over the other.
    """
    plain = agreement(query, candidate, WHOLE, WHOLE)
    if _everywhere(plain):
        is_same = plain.changed <= _MOST_CHANGED and _same_proportion(query, candidate)
        return "same" if is_same else "edited", _score(plain)
    boxes = _boxes(view, overlay)
    placed = _best_placed(query, candidate, boxes, mirrored=view.mirrored)
    if _everywhere(placed) or _mostly(placed):
        return "mirrored" if view.mirrored else "edited", _score(placed)
    return ("edited", _score(plain)) if _mostly(plain) else None


def agreement(
    query: DetailedPicture, candidate: DetailedPicture, part: Crop, of: Crop, *, mirrored: bool = False
) -> Agreement:
    """Compare the part `part` of the query, or of its mirror image, with the part `of` of the candidate."""
    side = _side(query, candidate, part, of)
    own, other = _pixels(query.square, part, side, mirrored=mirrored), _pixels(candidate.square, of, side)
    fitted = _fit(other, own)
    blocks = _highest_of_channels(np.abs(own - fitted))
    agrees = blocks <= _AGREES
    shows = np.minimum(*(_per_block(each.mean(axis=2)).std(axis=(1, 3)) for each in (own, other))) >= _DETAILED
    shifts = _highest_of_channels(own - fitted)
    return Agreement(
        worst=float(shifts.max()),
        shifted=float(np.quantile(shifts, 0.9)),
        agreeing=float(agrees.mean()),
        detailed=float((agrees & shows).mean()),
        mean=float(blocks.mean()),
        changed=float(np.abs(other - fitted).mean()),
    )


def _highest_of_channels(values: Floats) -> Floats:
    """Return the mean of each block, of the channel where it is farthest from 0: (16, 16)."""
    means = np.stack([_per_block(values[..., channel]).mean(axis=(1, 3)) for channel in range(3)])
    highest: Floats = np.abs(means).max(axis=0)
    return highest


def _everywhere(measured: Agreement) -> bool:
    is_shifted = measured.changed <= _MOST_CHANGED and measured.shifted > _MOST_SHIFTED_MOSTLY
    return not is_shifted and measured.worst <= _MOST_SHIFTED and measured.agreeing >= _LEAST_EVERYWHERE


def _mostly(measured: Agreement) -> bool:
    return measured.agreeing >= _LEAST_AGREEING and measured.detailed >= _LEAST_DETAILED


def _score(measured: Agreement) -> float:
    return round(measured.agreeing * (1 - measured.mean / 255), 4)


def _same_proportion(query: DetailedPicture, candidate: DetailedPicture) -> bool:
    return abs(query.proportion / candidate.proportion - 1) <= _SAME_PROPORTION


def _boxes(view: QueryView, overlay: PictureOverlay) -> tuple[Crop, Crop]:
    """Return the parts of the (mirrored) query and of the candidate that lie over each other."""
    left, top, right, bottom = view.box
    own: Crop = (1 - right, top, 1 - left, bottom) if view.mirrored else view.box
    window = tuple(edge / EDGE for edge in overlay.window)
    if not overlay.within_query:
        return own, (window[0], window[1], window[2], window[3])
    width, height = own[2] - own[0], own[3] - own[1]
    part = (own[0] + window[0] * width, own[1] + window[1] * height)
    return (*part, own[0] + window[2] * width, own[1] + window[3] * height), WHOLE


def _best_placed(
    query: DetailedPicture, candidate: DetailedPicture, boxes: tuple[Crop, Crop], *, mirrored: bool
) -> Agreement:
    """Move the edges of the part that is not whole, as long as the pictures agree better."""
    own, other = boxes
    best = agreement(query, candidate, own, other, mirrored=mirrored)
    if own == other == WHOLE:
        return best
    for step in _STEPS:
        for _ in range(6):  # enough to cross the half pixel of a thumbnail that the search may be off
            moved = [(agreement(query, candidate, *each, mirrored=mirrored), each) for each in _moved(own, other, step)]
            measured, nearest = min(moved, key=lambda pair: pair[0].mean, default=(best, boxes))
            if measured.mean >= best.mean:
                break
            best, (own, other) = measured, nearest
    return best


def _moved(own: Crop, other: Crop, step: int) -> list[tuple[Crop, Crop]]:
    """Return both parts with the edges of the one that is not whole moved a little."""
    part = other if own == WHOLE else own
    edges = [tuple(np.add(part, sign * step / STORED_PX * move)) for move in _MOVES for sign in (1, -1)]
    valid = [(float(a), float(b), float(c), float(d)) for a, b, c, d in edges if min(a, b) >= 0 and max(c, d) <= 1]
    return [(own, each) if own == WHOLE else (each, other) for each in valid]


def _side(query: DetailedPicture, candidate: DetailedPicture, part: Crop, of: Crop) -> int:
    """Return how many px are compared: no more than the smaller of both has."""
    shown = [
        picture.shorter_px * min(box[2] - box[0], box[3] - box[1]) for picture, box in ((query, part), (candidate, of))
    ]
    return _BLOCKS * int(min(max(min(shown) // _BLOCKS, _LEAST_BLOCK_PX), _MOST_BLOCK_PX))


def _pixels(square: Image.Image, part: Crop, side: int, *, mirrored: bool = False) -> Floats:
    """Return a part of a picture, or of its mirror image, as (side, side, 3) levels."""
    image = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else square
    left, top, right, bottom = (edge * STORED_PX for edge in part)
    scaled = image.resize((side, side), Image.Resampling.BOX, box=(left, top, right, bottom))
    return np.asarray(scaled, dtype=np.float32)


def _fit(source: Floats, target: Floats) -> Floats:
    """Change lightness by a mild gain and offset, so that it is as close to `target` as possible.

    All channels change alike: what has another hue is another picture.
    """
    mean, wanted = float(source.mean()), float(target.mean())
    centred = source - mean
    spread = max(float((centred**2).sum()), 1e-3)
    gain = float((centred * (target - wanted)).sum()) / spread
    most = 2.55 * MAX_OFFSET
    fitted: Floats = centred * min(max(gain, 1 / MAX_GAIN), MAX_GAIN) + mean + min(max(wanted - mean, -most), most)
    return fitted


def _per_block(values: Floats) -> Floats:
    side = len(values) // _BLOCKS
    return values.reshape(_BLOCKS, side, _BLOCKS, side)
