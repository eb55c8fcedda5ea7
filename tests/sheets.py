"""Cards, signs and labels whose text is known, drawn with the font that Pillow itself brings."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter, ImageFont

LEFT_PX = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A picture of text: its lines in reading order, each with its height in px."""

    size: tuple[int, int]
    paper: str
    ink: str
    lines: tuple[tuple[str, int], ...]

    @property
    def text(self) -> str:
        """The lines, one below the other."""
        return "\n".join(text for text, _ in self.lines)

    def draw(self) -> Image.Image:
        """Draw the lines from the upper left, one and a half times their height apart."""
        image = Image.new("RGB", self.size, self.paper)
        pencil, top = ImageDraw.Draw(image), LEFT_PX
        for text, height in self.lines:
            pencil.text((LEFT_PX, top), text, fill=self.ink, font=ImageFont.load_default(height))
            top += round(height * 1.5)
        return image


CARDS = (
    Sheet(
        size=(1050, 600),
        paper="#ffffff",
        ink="#222222",
        lines=(
            ("CHARLENE WHITNEY", 60),
            ("Graphic Designer", 36),
            ("888 555 1212", 32),
            ("someone@outlook.com", 32),
            ("www.contoso.com", 32),
        ),
    ),
    Sheet(
        size=(1050, 600),
        paper="#10243e",
        ink="#f4f1e8",
        lines=(
            ("Amara Okafor", 64),
            ("Head of Logistics", 34),
            ("Fabrikam Shipping Ltd", 34),
            ("+44 20 7946 0958", 32),
            ("amara.okafor@fabrikam.example", 30),
            ("https://fabrikam.example/team", 30),
        ),
    ),
    Sheet(
        size=(900, 540),
        paper="#f6e7c1",
        ink="#5b2333",
        lines=(
            ("Northwind Bakery", 58),
            ("Bread, cakes and coffee since 1931", 30),
            ("14 Harbour Street, Portsmouth", 30),
            ("Open daily from 7 to 18", 30),
        ),
    ),
)
SIGNS = (
    Sheet(
        size=(800, 600),
        paper="#0b5d2a",
        ink="#ffffff",
        lines=(("WALK BIKE", 110), ("ACROSS", 110), ("BRIDGE", 110)),
    ),
    Sheet(
        size=(1000, 500),
        paper="#f2c21a",
        ink="#111111",
        lines=(("CAUTION", 120), ("Wet floor ahead", 70), ("Use the other door", 60)),
    ),
    Sheet(
        size=(700, 700),
        paper="#b3202a",
        ink="#ffffff",
        lines=(("NO ENTRY", 110), ("Staff only", 80), ("Ring bell for help", 60)),
    ),
)
LABELS = (
    Sheet(
        size=(600, 800),
        paper="#fdfdfd",
        ink="#333333",
        lines=(
            ("Organic Green Tea", 54),
            ("Net weight 250 g", 34),
            ("Ingredients: green tea leaves,", 28),
            ("dried lemon peel, mint.", 28),
            ("Keep in a cool and dry place.", 28),
            ("Best before 12 March 2028", 30),
            ("Lot 48874-B", 30),
        ),
    ),
    Sheet(
        size=(700, 500),
        paper="#e8eef4",
        ink="#1b2a41",
        lines=(
            ("Cotton shirt, size M", 46),
            ("Wash at 30 degrees", 34),
            ("Do not tumble dry", 34),
            ("Made in Portugal", 34),
            ("EUR 39.90", 60),
        ),
    ),
    Sheet(
        size=(1200, 900),
        paper="#f7f3e9",
        ink="#3a3228",
        lines=(
            ("Care instructions", 30),
            ("Rinse before first use and dry with a soft cloth.", 18),
            ("Do not leave in water. Oil the wood twice a year.", 18),
            ("The blade is sharp: keep away from children.", 18),
            ("Guarantee: five years from the day of purchase.", 18),
            ("Write to care@harbour.example or call 030 1234567.", 18),
        ),
    ),
)


def tilt(image: Image.Image, degrees: float) -> Image.Image:
    """Turn a picture by any angle, the corners filled with its paper."""
    paper = image.getpixel((0, 0))
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=paper)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "clean": lambda image: image,
    "rotated -8": lambda image: tilt(image, -8),
    "rotated 90": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "rotated 180": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "rotated 270": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "small": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC),
    "JPEG q30": lambda image: Image.open(io.BytesIO(_jpeg(image, 30))),
}


def png(image: Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG."""
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def edits(found: str, truth: str) -> int:
    """Count the insertions, deletions and replacements of characters that lie between two texts."""
    row = list(range(len(truth) + 1))
    for index, left in enumerate(found, 1):
        above, row = row, [index]
        for column, right in enumerate(truth, 1):
            row.append(min(row[-1] + 1, above[column] + 1, above[column - 1] + (left != right)))
    return row[-1]


def _jpeg(image: Image.Image, quality: int) -> bytes:
    target = io.BytesIO()
    image.save(target, "JPEG", quality=quality)
    return target.getvalue()
