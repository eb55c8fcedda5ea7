"""Recognises the lines of text in a picture with rapidocr and the models of its wheel; nothing is downloaded.

Runs in worker processes only (workers.py): the import takes a second, and a busy process some 400 MB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import rapidocr
from PIL import Image
from rapidocr.main import RapidOCRError

from pipeline.service.engine.pictures import decode, read_header
from pipeline.service.findings import BadPicture, Crop
from pipeline.service.text.reading_order import DetectedLine, PageSize, arrange_lines
from pipeline.service.text.recognised_text import Quad, RecognisedText

Pixels = npt.NDArray[np.uint8]
MODELS = Path(rapidocr.__file__).parent / "models"
# Lines are detected in a picture with this longer side, and in one of twice the size if they are small print.
DETECTION_SIDE_PX = 736
# Small print: lines that are lower than this, in px of that picture.
SMALL_PRINT_PX = 13
# Lines are recognised at no more than this many px a side; small pictures are enlarged by no more than this factor.
MAX_SIDE_PX, MAX_ENLARGEMENT = 1600, 3
# A line with a lower score is tried upside down, too.
DOUBTFUL_SCORE = 0.85


def recognise_text(picture: bytes, crop: Crop) -> RecognisedText | None:
    """Read the part `crop` of a picture; boxes are fractions of that part. None if the bytes are no picture."""
    try:
        pixels = decode(read_header(picture), crop=crop, side_px=MAX_SIDE_PX // 2).pixels
    except BadPicture:
        return None
    page = np.asarray(_scale(pixels))[:, :, ::-1].copy()  # rapidocr takes BGR
    return arrange_lines(PageSize(width=page.shape[1], height=page.shape[0]), list(_read_lines(page)))


def _scale(pixels: Image.Image) -> Image.Image:
    """Scale a picture to the size at which lines are recognised."""
    longer = max(pixels.size)
    scale = min(MAX_SIDE_PX / longer, max(1.0, min(DETECTION_SIDE_PX / longer, MAX_ENLARGEMENT)))
    if scale == 1:
        return pixels
    size = (max(1, round(pixels.width * scale)), max(1, round(pixels.height * scale)))
    return pixels.resize(size, Image.Resampling.BICUBIC)


@cache
def _models(side_px: int) -> Any:
    """Load the models that detect lines in a picture of `side_px`, once."""
    cv2.setNumThreads(1)
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "Det.limit_type": "max",
            "Det.limit_side_len": side_px,
            # The paths are given, so that a missing model is an error and not a download.
            "Det.model_path": str(MODELS / "PP-OCRv6_det_small.onnx"),
            "Cls.model_path": str(MODELS / "ch_ppocr_mobile_v2.0_cls_mobile.onnx"),
            "Rec.model_path": str(MODELS / "PP-OCRv6_rec_small.onnx"),
            # One line at a time: lines of different lengths in one batch take a third longer, and twice the memory.
            "Rec.rec_batch_num": 1,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def _read_lines(page: Pixels) -> Iterator[DetectedLine]:
    boxes, cutouts = _detect_lines(page)
    if not cutouts:
        return
    vertical = [_is_vertical(box, image) for box, image in zip(boxes, cutouts, strict=True)]
    flipped = _upside_down(cutouts, vertical)
    upright = [image[::-1, ::-1] if flip else image for image, flip in zip(cutouts, flipped, strict=True)]
    best = _recognise(upright)
    doubtful = [index for index, (_, score) in enumerate(best) if score < DOUBTFUL_SCORE]
    for index, other in zip(doubtful, _recognise([upright[n][::-1, ::-1] for n in doubtful]), strict=True):
        if other[1] > best[index][1]:
            best[index], flipped[index] = other, not flipped[index]
    for box, (text, score), down, flip in zip(boxes, best, vertical, flipped, strict=True):
        yield DetectedLine(text=text, score=score, corners=_corners(box, vertical=down, flipped=flip))


def _detect_lines(page: Pixels) -> tuple[list[Pixels], list[Pixels]]:
    """Return the corners of each line, (4, 2) in px, and its pixels turned level; small print is detected at 2 x."""
    boxes, cutouts = _detect_at(page, DETECTION_SIDE_PX)
    scale = DETECTION_SIDE_PX / max(page.shape)
    heights = [min(image.shape[:2]) for image in cutouts]
    if cutouts and scale < 1 and float(np.median(heights)) * scale < SMALL_PRINT_PX:
        return _detect_at(page, 2 * DETECTION_SIDE_PX)
    return boxes, cutouts


def _detect_at(page: Pixels, side_px: int) -> tuple[list[Pixels], list[Pixels]]:
    padding: dict[str, Any] = {}
    try:
        cutouts, detection = _models(side_px).detect_and_crop(page, padding)
    except RapidOCRError:  # there is no text
        return [], []
    boxes = detection.boxes - (padding["padding_1"]["left"], padding["padding_1"]["top"])
    # A box that touches the edge may have no height left.
    kept = [(box, image) for box, image in zip(boxes, cutouts, strict=True) if image.size]
    return [box for box, _ in kept], [image for _, image in kept]


def _is_vertical(box: Pixels, image: Pixels) -> bool:
    """Return True if rapidocr took a box for a vertical line, and turned it left."""
    across, down = np.linalg.norm(box[0] - box[1]), np.linalg.norm(box[0] - box[3])
    return bool(down > across and image.shape[1] > image.shape[0])


def _upside_down(cutouts: Sequence[Pixels], vertical: Sequence[bool]) -> list[bool]:
    """Return which lines are upside down: the lines of one direction decide together, weighted by their lengths."""
    votes = {True: 0.0, False: 0.0}
    _, orientation = _models(DETECTION_SIDE_PX).cls_and_rotate(list(cutouts))
    for image, down, (label, score) in zip(cutouts, vertical, orientation.cls_res, strict=True):
        votes[down] += image.shape[1] * score * (1 if label == "180" else -1)
    return [votes[down] > 0 for down in vertical]


def _recognise(lines: Sequence[Pixels]) -> list[tuple[str, float]]:
    if not lines:
        return []
    output = _models(DETECTION_SIDE_PX).recognize_txt([np.ascontiguousarray(line) for line in lines])
    return [(str(text), float(score)) for text, score in zip(output.txts, output.scores, strict=True)]


def _corners(box: Pixels, *, vertical: bool, flipped: bool) -> Quad:
    """Return a box's corners from the first letter on; those of rapidocr start at the upper left of the picture."""
    first, second, third, fourth = np.roll(box, -(int(vertical) + 2 * int(flipped)), axis=0).tolist()
    return tuple(first), tuple(second), tuple(third), tuple(fourth)
