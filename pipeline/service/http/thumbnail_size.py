"""The size of a thumbnail, which the parameters of its URL may change (resizing and cropping of thumbnails)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.service.http.common_parameters import check_whole_number
from pipeline.service.http.json_objects import THUMBNAIL_SIDE_PX
from pipeline.service.refusals import invalid

MAX_SIDE_PX = 1500
# Blind and smart ratio; both cut off what is on the sides, or above and below.
CROPS = ("4", "7")


@dataclass(frozen=True, slots=True, kw_only=True)
class ThumbnailSize:
    """The largest width and height; `fills`: the thumbnail has exactly their proportions."""

    width: int
    height: int
    fills: bool = False


def read_thumbnail_size(query: Mapping[str, str]) -> ThumbnailSize:
    """Read w, h and c; without w and h the usual size is meant. Raises Refused."""
    width, height = (check_whole_number(name, query.get(name), low=1, high=MAX_SIDE_PX) for name in ("w", "h"))
    if "c" in query and query["c"] not in CROPS:
        raise invalid("c", query["c"], f"must be one of {', '.join(CROPS)}")
    if width is None and height is None:
        return ThumbnailSize(width=THUMBNAIL_SIDE_PX, height=THUMBNAIL_SIDE_PX)
    fills = "c" in query and width is not None and height is not None
    return ThumbnailSize(width=width or MAX_SIDE_PX, height=height or MAX_SIDE_PX, fills=fills)
