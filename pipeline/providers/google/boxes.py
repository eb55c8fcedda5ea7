"""Boxes of an answer: four corners in fractions of the upright picture, in the order of reading.

A service that writes proto3 JSON leaves out zeros: a corner may come as {"x": 5} or {}. Corners are in pixels of the
picture as it was sent, but for those of objects, which are fractions (discovery document, BoundingPoly).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from pipeline.schema import Box, Point

_DIGITS: Final = 6  # a millionth of a side: far less than a pixel
Corner = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Frame:
    """The size in px that corners in pixels refer to; None where it isn't known, as of a picture sent as a URL."""

    size: tuple[int, int] | None = None

    def box(self, polygon: Any) -> Box | None:
        """Return a polygon as a box, None where it is none or its frame isn't known."""
        if (points := pixels(polygon)) is not None:
            return None if self.size is None else quadrilateral(points, self.size)
        if (points := corners(polygon, "normalizedVertices")) is not None:
            return quadrilateral(points, (1, 1))
        return None


def pixels(polygon: Any) -> list[Corner] | None:
    """Return the corners of a polygon in pixels, None where it has none."""
    return corners(polygon, "vertices")


def corners(polygon: Any, name: str) -> list[Corner] | None:
    """Return the corners that a polygon has under a name, None where it has none."""
    vertices = polygon.get(name) if type(polygon) is dict else None
    if type(vertices) is not list or not vertices:
        return None
    points = []
    for vertex in vertices:
        if type(vertex) is not dict or not vertex.keys() <= _CORNER:
            return None
        x, y = vertex.get("x", 0), vertex.get("y", 0)
        if not (type(x) is type(y) is int) and (number(x) is None or number(y) is None):
            return None
        points.append((x, y))
    return points


_CORNER: Final = frozenset("xy")


def quadrilateral(points: list[Corner], size: tuple[int, int]) -> Box:
    """Return points in px of a picture of this size as a box; other than four become the rectangle around them."""
    if len(points) != 4:
        xs, ys = [x for x, _ in points], [y for _, y in points]
        points = [(min(xs), min(ys)), (max(xs), min(ys)), (max(xs), max(ys)), (min(xs), max(ys))]
    width, height = size
    return [_point(x / width, y / height) for x, y in points]


def _point(x: float, y: float) -> Point:
    """Move a corner that lies slightly outside, as those of faces and turned text do, to the edge of the picture."""
    if not 0 <= x <= 1:
        x = 0.0 if x < 0 else 1.0
    if not 0 <= y <= 1:
        y = 0.0 if y < 0 else 1.0
    return {"x": round(x, _DIGITS), "y": round(y, _DIGITS)}


def number(value: Any) -> float | None:
    """Return a finite number of JSON as it is, None for anything else."""
    return value if type(value) is int or (type(value) is float and isfinite(value)) else None
