"""What the readers of Google's answers take besides: boxes from corners in pixels, and shares."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.providers.collector import Collector, Json
from pipeline.providers.google.boxes import Frame, number
from pipeline.schema import Box


@dataclass(slots=True, kw_only=True)
class GoogleCollector(Collector):
    """A Collector whose `frame` is what corners in pixels refer to."""

    frame: Frame

    def take_box(self, source: Json, name: str) -> Box | None:
        """Take a polygon as a box."""
        box = self.frame.box(source.get(name))
        if box is not None:
            del source[name]
        return box


def take_share(source: Json, name: str) -> float | None:
    """Take a number from 0 to 1."""
    value = number(source.get(name))
    if value is None or not 0 <= value <= 1:
        return None
    del source[name]
    return float(value)
