"""Numbers of an answer, taken from the object that has them."""

from __future__ import annotations

from math import isfinite
from typing import Any

from pipeline.providers.collector import Json


def take_number(source: Json, name: str) -> float | None:
    """Take a finite number that is not negative."""
    value: Any = source.get(name)
    if type(value) not in (int, float) or not isfinite(value) or value < 0:
        return None
    del source[name]
    return float(value)


def take_size(source: Json, *names: str) -> int | None:
    """Take a size in px under the first of these names that has one."""
    for name in names:
        value = source.get(name)
        if type(value) is int and value > 0:
            del source[name]
            return value
    return None
