"""Small pictures that differ from each other, drawn from a number."""

import io
import random
from pathlib import Path

from PIL import Image, ImageDraw


def draw(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Draw shapes in colours of their own."""
    chance = random.Random(seed)

    def color() -> tuple[int, int, int]:
        return chance.randrange(256), chance.randrange(256), chance.randrange(256)

    image = Image.new("RGB", size, color())
    pen = ImageDraw.Draw(image)
    for _ in range(7):
        x, y = chance.randrange(size[0]), chance.randrange(size[1])
        w, h = chance.randrange(15, size[0] // 2), chance.randrange(15, size[1] // 2)
        (pen.ellipse if chance.random() < 0.5 else pen.rectangle)((x, y, x + w, y + h), fill=color())
    return image


def encode(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """Encode a picture."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def fill(folder: Path, count: int, first: int = 0) -> Path:
    """Write `count` pictures into a folder."""
    folder.mkdir(exist_ok=True)
    for number in range(first, first + count):
        draw(number).save(folder / f"{number:03}.png")
    return folder
