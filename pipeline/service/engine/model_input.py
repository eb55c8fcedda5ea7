"""The input of an embedding model: the pixels of a picture, at the size that the model takes."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from pipeline.service.engine.color import Bytes
from pipeline.service.engine.pictures import PictureHeader, decode
from pipeline.service.findings import Crop

Resize = Literal["squash", "crop", "pad"]


def read_model_input(header: PictureHeader, crop: Crop, size_px: int, resize: Resize) -> Bytes:
    """Decode the part `crop` of a picture at the size of a model: RGB (size, size, 3); raises BadPicture."""
    return resize_for_model(decode(header, crop=crop, side_px=size_px).pixels, size_px, resize)


def resize_for_model(picture: Image.Image, size_px: int, resize: Resize) -> Bytes:
    """Return the pixels of a picture as a square: squashed, cropped, or padded with white."""
    size = (size_px, size_px)
    if resize == "crop":
        return np.asarray(ImageOps.fit(picture, size, Image.Resampling.BICUBIC))
    if resize == "pad":
        return np.asarray(ImageOps.pad(picture, size, Image.Resampling.BICUBIC, color="white"))
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC))
