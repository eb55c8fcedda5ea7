"""Recognises the lines of text in a picture: rapidocr at work, with the models of its wheel and without a download.

Runs in a process of its own (workers.py): importing it costs a second and, once at work, some 400 MB.
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

from pipeline.service.engine.pictures import open_picture
from pipeline.service.findings import BadPicture, Crop
from pipeline.service.text.lines import Page, RawLine, arrange
from pipeline.service.text.values import Quad, Text

Pixels = npt.NDArray[np.uint8]
MODELS = Path(rapidocr.__file__).parent / "models"
# The longer side of the picture that lines are looked for in; of twice the side where they turn out to be small print.
SIDE_PX = 736
# Lower boxes of lines than this are small print, in px of that picture.
SMALL_PRINT_PX = 13
# Lines are read from at most so many px a side; small pictures are enlarged, but no more than so many times.
MOST_SIDE_PX, MOST_ENLARGED = 1600, 3
# A line with a lower score is tried the other way up, too.
DOUBTFUL = 0.85


def recognise(picture: bytes, crop: Crop) -> Text | None:
    """Read the part `crop` of a picture; boxes are fractions of that part. None where the bytes are no picture."""
    try:
        pixels = open_picture(picture, crop=crop, side_px=MOST_SIDE_PX // 2).pixels
    except BadPicture:
        return None
    page = np.asarray(_fit(pixels))[:, :, ::-1].copy()  # rapidocr takes BGR
    return arrange(Page(width=page.shape[1], height=page.shape[0]), list(_read(page)))


def _fit(pixels: Image.Image) -> Image.Image:
    """Scale a picture to what lines are read from."""
    longer = max(pixels.size)
    scale = min(MOST_SIDE_PX / longer, max(1.0, min(SIDE_PX / longer, MOST_ENLARGED)))
    if scale == 1:
        return pixels
    size = (max(1, round(pixels.width * scale)), max(1, round(pixels.height * scale)))
    return pixels.resize(size, Image.Resampling.BICUBIC)


@cache
def _engine(side_px: int) -> Any:
    """Load the models that look for lines in a picture of `side_px`, once."""
    cv2.setNumThreads(1)
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "Det.limit_type": "max",
            "Det.limit_side_len": side_px,
            # Named, so that a missing model is an error instead of a download.
            "Det.model_path": str(MODELS / "PP-OCRv6_det_small.onnx"),
            "Cls.model_path": str(MODELS / "ch_ppocr_mobile_v2.0_cls_mobile.onnx"),
            "Rec.model_path": str(MODELS / "PP-OCRv6_rec_small.onnx"),
            # One line at a time: lines of unlike length in one batch cost a third more, and twice the memory.
            "Rec.rec_batch_num": 1,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def _read(page: Pixels) -> Iterator[RawLine]:
    boxes, cuts = _find(page)
    if not cuts:
        return
    turned = [_runs_down(box, image) for box, image in zip(boxes, cuts, strict=True)]
    upended = _upended(cuts, turned)
    upright = [image[::-1, ::-1] if over else image for image, over in zip(cuts, upended, strict=True)]
    best = _recognise(upright)
    doubtful = [index for index, (_, score) in enumerate(best) if score < DOUBTFUL]
    for index, other in zip(doubtful, _recognise([upright[n][::-1, ::-1] for n in doubtful]), strict=True):
        if other[1] > best[index][1]:
            best[index], upended[index] = other, not upended[index]
    for box, (text, score), down, over in zip(boxes, best, turned, upended, strict=True):
        yield RawLine(text=text, score=score, corners=_corners(box, down=down, over=over))


def _find(page: Pixels) -> tuple[list[Pixels], list[Pixels]]:
    """Return the corners of each line, (4, 2) in px, and its pixels turned level; small print is looked for closer."""
    boxes, cuts = _detect(page, SIDE_PX)
    shrunk = SIDE_PX / max(page.shape)
    heights = [min(image.shape[:2]) for image in cuts]
    if cuts and shrunk < 1 and float(np.median(heights)) * shrunk < SMALL_PRINT_PX:
        return _detect(page, 2 * SIDE_PX)
    return boxes, cuts


def _detect(page: Pixels, side_px: int) -> tuple[list[Pixels], list[Pixels]]:
    padding: dict[str, Any] = {}
    try:
        cuts, found = _engine(side_px).detect_and_crop(page, padding)
    except RapidOCRError:  # there is no text
        return [], []
    boxes = found.boxes - (padding["padding_1"]["left"], padding["padding_1"]["top"])
    # A box that touches the edge may have lost all its height.
    kept = [(box, image) for box, image in zip(boxes, cuts, strict=True) if image.size]
    return [box for box, _ in kept], [image for _, image in kept]


def _runs_down(box: Pixels, image: Pixels) -> bool:
    """Tell whether rapidocr took a box for a line that runs up or down, and turned it left."""
    across, down = np.linalg.norm(box[0] - box[1]), np.linalg.norm(box[0] - box[3])
    return bool(down > across and image.shape[1] > image.shape[0])


def _upended(cuts: Sequence[Pixels], turned: Sequence[bool]) -> list[bool]:
    """Tell which lines stand on their heads: the lines of one direction decide together, each by its length."""
    votes = {True: 0.0, False: 0.0}
    _, judged = _engine(SIDE_PX).cls_and_rotate(list(cuts))
    for image, down, (label, score) in zip(cuts, turned, judged.cls_res, strict=True):
        votes[down] += image.shape[1] * score * (1 if label == "180" else -1)
    return [votes[down] > 0 for down in turned]


def _recognise(lines: Sequence[Pixels]) -> list[tuple[str, float]]:
    if not lines:
        return []
    found = _engine(SIDE_PX).recognize_txt([np.ascontiguousarray(line) for line in lines])
    return [(str(text), float(score)) for text, score in zip(found.txts, found.scores, strict=True)]


def _corners(box: Pixels, *, down: bool, over: bool) -> Quad:
    """Return a box's corners from where the first letter begins; rapidocr's begin at the upper left of the picture."""
    first, second, third, fourth = np.roll(box, -(int(down) + 2 * int(over)), axis=0).tolist()
    return tuple(first), tuple(second), tuple(third), tuple(fourth)
