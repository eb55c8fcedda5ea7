"""Colours get the names of the color filter."""

from __future__ import annotations

import pytest

from pipeline.service.search.color_names import is_monochrome, name_color


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("000000", "Black"), ("FFFFFF", "White"), ("808080", "Gray"), ("1E40AF", "Blue"), ("B91C1C", "Red"),
        ("15803D", "Green"), ("FACC15", "Yellow"), ("F97316", "Orange"), ("6F4E37", "Brown"), ("008080", "Teal"),
        ("7E22CE", "Purple"), ("EC4899", "Pink"), ("FFB6C1", "Pink"), ("00004B", "Blue"), ("2A0505", "Black"),
    ],
)  # fmt: skip
def test_colours_have_the_names_of_the_filter(code: str, name: str) -> None:
    """Unmistakable colours get their usual names."""
    assert name_color(code) == name


def test_shades_of_grey_are_monochrome() -> None:
    """One colour among the greys makes a colour picture."""
    assert is_monochrome(["000000", "808080", "F8F8F8"])
    assert not is_monochrome(["000000", "B91C1C"])
