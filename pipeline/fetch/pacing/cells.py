"""One double of a pace's shared state, as an attribute: the same code works on memory, and on a file under a lock."""

from __future__ import annotations

from typing import Protocol


class HasCells(Protocol):
    """A part of a pace: its doubles begin at the index `at` of `cells`."""

    cells: memoryview[float]
    at: int


class Cell:
    """The double number `index` of a part."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __get__(self, part: HasCells, owner: type[HasCells]) -> float:
        return part.cells[part.at + self.index]

    def __set__(self, part: HasCells, value: float) -> None:
        part.cells[part.at + self.index] = value
