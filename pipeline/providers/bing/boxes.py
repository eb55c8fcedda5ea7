"""Bounding boxes of a response, as four corners in fractions of the original picture."""

from __future__ import annotations

from math import isfinite
from typing import Any

from pipeline.providers.bing.shapes import Context, Json, JsonPath
from pipeline.records import Crop
from pipeline.schema import Box, Point

_CORNERS = ("topLeft", "topRight", "bottomRight", "bottomLeft")
_EDGES = ("left", "top", "right", "bottom")


def quadrilateral(value: Any, context: Context, path: JsonPath) -> Box | None:
    """Read four named corners, which are fractions of the crop where the request had one.

    Some responses have the four edges of a box in their place. Source: Visual Search response guide.
    """
    if type(value) is dict and value.keys() - {"_type"} == set(_EDGES):
        return _box(value, context.crop)
    if type(value) is not dict or value.keys() - {"_type"} != set(_CORNERS):
        return None
    box = []
    for name in _CORNERS:
        corner = value[name]
        if type(corner) is not dict or corner.keys() - {"_type"} != {"x", "y"} or not _are_numbers(corner, ("x", "y")):
            return None
        box.append(_point(corner["x"], corner["y"], context.crop))
    return box


def rectangle(value: Any, context: Context, path: JsonPath) -> Box | None:
    """Read a NormalizedRectangle of /images/details.

    Its edges refer to the original picture even if the request had a crop: the Image Insights guide shows the same
    region with and without one.
    """
    return _box(value, None) if type(value) is dict and value.keys() - {"_type"} == set(_EDGES) else None


def _box(edges: Json, crop: Crop | None) -> Box | None:
    if not _are_numbers(edges, _EDGES):
        return None
    left, top, right, bottom = (edges[name] for name in _EDGES)
    return [_point(x, y, crop) for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))]


def _are_numbers(source: Json, names: tuple[str, ...]) -> bool:
    return all(type(source[name]) in (int, float) and isfinite(source[name]) for name in names)


def _point(x: float, y: float, crop: Crop | None) -> Point:
    """Clamp a corner to 0..1, since real responses go slightly outside (-0.0038), and undo the crop."""
    x, y = min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)
    if crop is not None:
        x = crop.left + x * (crop.right - crop.left)
        y = crop.top + y * (crop.bottom - crop.top)
    return {"x": x, "y": y}
