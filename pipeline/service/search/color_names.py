"""Maps a colour to one of the twelve names of the image search's color filter (Image Search reference)."""

from __future__ import annotations

from collections.abc import Iterable
from colorsys import rgb_to_hls

# Colours that are less saturated than this are shades of grey.
_GRAY_CHROMA = 0.12
_HUES = (
    (15, "Red"), (40, "Orange"), (68, "Yellow"), (160, "Green"), (195, "Teal"), (255, "Blue"), (290, "Purple"),
    (340, "Pink"), (361, "Red"),
)  # fmt: skip


def name_color(code: str) -> str:
    """Return the name of the colour "RRGGBB"."""
    red, green, blue = _split(code)
    hue, lightness, _ = rgb_to_hls(red, green, blue)
    chroma = max(red, green, blue) - min(red, green, blue)
    if chroma < _GRAY_CHROMA:
        return "Black" if lightness < 0.2 else "White" if lightness > 0.85 else "Gray"
    if lightness < 0.12:
        return "Black"
    name = next(name for until, name in _HUES if hue * 360 < until)
    if name in {"Red", "Orange", "Yellow"} and 0.12 <= lightness < 0.42 and chroma < 0.55 and 10 <= hue * 360 < 50:
        return "Brown"
    return "Pink" if name == "Red" and lightness > 0.72 else name


def is_monochrome(colors: Iterable[str]) -> bool:
    """Return True if all colours of a picture are shades of grey."""
    return all(max(rgb) - min(rgb) < _GRAY_CHROMA for rgb in map(_split, colors))


def _split(code: str) -> tuple[float, float, float]:
    red, green, blue = (int(code[at : at + 2], 16) / 255 for at in (0, 2, 4))
    return red, green, blue
