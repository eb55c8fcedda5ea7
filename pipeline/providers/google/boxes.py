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
        """Return a polygon as a box, None where it is none or its frame isn't known.

        One with more or fewer corners than four becomes the upright rectangle around them.
        """
        if (fractions := corners(polygon, "normalizedVertices")) is not None:
            return quadrilateral(fractions, (1, 1))
        pixels = corners(polygon, "vertices")
        return None if pixels is None or self.size is None else quadrilateral(pixels, self.size)


def corners(polygon: Any, name: str) -> list[Corner] | None:
    """Return the corners of a polygon, None where it has none; what is left out of a corner is zero."""
    vertices = polygon.get(name) if type(polygon) is dict else None
    if type(vertices) is not list or not vertices:
        return None
    if not all(type(vertex) is dict and vertex.keys() <= {"x", "y"} for vertex in vertices):
        return None
    points = [(vertex.get("x", 0), vertex.get("y", 0)) for vertex in vertices]
    return points if all(number(value) is not None for point in points for value in point) else None


def quadrilateral(points: list[Corner], size: tuple[int, int]) -> Box:
    """Return points in px of a picture of this size as a box."""
    if len(points) != 4:
        xs, ys = [x for x, _ in points], [y for _, y in points]
        points = [(min(xs), min(ys)), (max(xs), min(ys)), (max(xs), max(ys)), (min(xs), max(ys))]
    return [_point(x / size[0], y / size[1]) for x, y in points]


def _point(x: float, y: float) -> Point:
    """Move a corner that lies slightly outside, as those of faces and turned text do, to the edge of the picture."""
    return {"x": round(min(max(x, 0.0), 1.0), _DIGITS), "y": round(min(max(y, 0.0), 1.0), _DIGITS)}


def number(value: Any) -> float | None:
    """Return a finite number of JSON as it is, None for anything else."""
    return value if type(value) in (int, float) and isfinite(value) else None
