"""The tools that the sample's pictures are drawn with: canvases at twice their final size, light, shadow, prints."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter, ImageFont

SIDE_PX = 960
Color = str
Points = Sequence[tuple[float, float]]
Print = Callable[[tuple[int, int], Color, Color], Image.Image]


def mix(first: Color, second: Color, share: float) -> Color:
    """Blend two colours; `share` 0 is the first, 1 the second."""
    one, two = ImageColor.getrgb(first), ImageColor.getrgb(second)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(one[:3], two[:3], strict=True))


def backdrop(color: Color, floor: float = 0.72, size: tuple[int, int] = (SIDE_PX, SIDE_PX)) -> Image.Image:
    """Paint a studio: a wall that brightens downwards, and a floor that darkens towards the viewer."""
    wall = _vertical(size, mix(color, "#ffffff", 0.15), mix(color, "#ffffff", 0.55))
    edge = round(size[1] * floor)
    ground = _vertical((size[0], size[1] - edge), mix(color, "#ffffff", 0.35), mix(color, "#000000", 0.08))
    wall.paste(ground, (0, edge))
    return wall


def _vertical(size: tuple[int, int], top: Color, bottom: Color) -> Image.Image:
    ramp = Image.linear_gradient("L").resize(size)
    return Image.composite(Image.new("RGB", size, bottom), Image.new("RGB", size, top), ramp)


def mask_of(size: tuple[int, int], draw_on: Callable[[ImageDraw.ImageDraw], object]) -> Image.Image:
    """Draw a shape in white on a black mask."""
    mask = Image.new("L", size)
    draw_on(ImageDraw.Draw(mask))
    return mask


def cast_shadow(canvas: Image.Image, box: tuple[float, float, float, float], strength: float = 0.35) -> None:
    """Lay a soft elliptic shadow on the floor."""
    mask = mask_of(canvas.size, lambda draw: draw.ellipse(box, fill=round(255 * strength)))
    canvas.paste("#1d2430", mask=mask.filter(ImageFilter.GaussianBlur(18)))


def paint(canvas: Image.Image, mask: Image.Image, fill: Color | Image.Image, *, roundness: float = 0.0) -> None:
    """Paint a shape; a round one is lit from the left and falls into shade on the right."""
    box = mask.getbbox()
    if box is None:
        return
    shape = mask.crop(box)
    canvas.paste(fill.crop(box) if isinstance(fill, Image.Image) else fill, box, shape)
    if roundness:
        for color, light in (("#0d1117", _shade), ("#ffffff", _gleam)):
            curve = Image.new("L", (shape.width, 1))
            curve.putdata([round(255 * roundness * light(x / shape.width)) for x in range(shape.width)])
            canvas.paste(color, box, ImageChops.multiply(curve.resize(shape.size), shape))


def _shade(x: float) -> float:
    return 0.25 * max(0.0, 0.18 - x) / 0.18 + 0.75 * math.pow(max(0.0, x - 0.45), 1.5)


def _gleam(x: float) -> float:
    return max(0.0, 1 - abs(x - 0.28) / 0.16) * 0.55


def write_text(
    canvas: Image.Image, place: tuple[float, float], text: str, size: float, color: Color, anchor: str = "la"
) -> None:
    """Write one line with Pillow's own font."""
    ImageDraw.Draw(canvas).text(place, text, fill=color, font=ImageFont.load_default(size), anchor=anchor)


def plain(size: tuple[int, int], base: Color, ink: Color) -> Image.Image:
    """Print nothing: cloth or glaze with the finest of grains in the second colour."""
    return Image.new("RGB", size, mix(base, ink, 0.03))


def stripes(size: tuple[int, int], base: Color, ink: Color) -> Image.Image:
    """Print broad horizontal stripes."""
    picture = Image.new("RGB", size, base)
    draw = ImageDraw.Draw(picture)
    for top in range(20, size[1], 96):
        draw.rectangle((0, top, size[0], top + 40), fill=ink)
    return picture


def dots(size: tuple[int, int], base: Color, ink: Color) -> Image.Image:
    """Print dots in offset rows."""
    picture = Image.new("RGB", size, base)
    draw = ImageDraw.Draw(picture)
    for row, top in enumerate(range(12, size[1], 72)):
        for left in range(12 + 36 * (row % 2), size[0], 72):
            draw.ellipse((left, top, left + 34, top + 34), fill=ink)
    return picture


def checks(size: tuple[int, int], base: Color, ink: Color) -> Image.Image:
    """Print a woven check."""
    picture = Image.new("RGB", size, base)
    veil = Image.new("RGBA", size)
    draw = ImageDraw.Draw(veil)
    for start in range(0, max(size), 110):
        draw.rectangle((start, 0, start + 46, size[1]), fill=(*ImageColor.getrgb(ink)[:3], 110))
    picture.paste(veil, mask=veil)
    veil = veil.rotate(90, expand=True).resize(size)
    picture.paste(veil, mask=veil)
    return picture


def heart(size: tuple[int, int], base: Color, ink: Color) -> Image.Image:
    """Print one large heart."""
    picture = Image.new("RGB", size, base)
    x, y, r = size[0] / 2, size[1] * 0.44, min(size) * 0.145
    draw = ImageDraw.Draw(picture)
    draw.ellipse((x - 2 * r, y - r, x, y + r), fill=ink)
    draw.ellipse((x, y - r, x + 2 * r, y + r), fill=ink)
    draw.polygon([(x - 1.9 * r, y + 0.4 * r), (x + 1.9 * r, y + 0.4 * r), (x, y + 2.4 * r)], fill=ink)
    return picture


def mountain(size: tuple[int, int], base: Color, ink: Color) -> Image.Image:
    """Print a range of mountains under a sun."""
    picture = Image.new("RGB", size, base)
    w, h = size
    draw = ImageDraw.Draw(picture)
    draw.ellipse((w * 0.60, h * 0.22, w * 0.72, h * 0.22 + w * 0.12), fill=mix(ink, "#ffd166", 0.8))
    draw.polygon([(w * 0.18, h * 0.72), (w * 0.42, h * 0.30), (w * 0.66, h * 0.72)], fill=ink)
    draw.polygon([(w * 0.42, h * 0.72), (w * 0.62, h * 0.42), (w * 0.84, h * 0.72)], fill=mix(ink, base, 0.35))
    draw.polygon([(w * 0.36, h * 0.405), (w * 0.42, h * 0.30), (w * 0.48, h * 0.405)], fill="#ffffff")
    return picture


def leaves(size: tuple[int, int], base: Color, ink: Color) -> Image.Image:
    """Print scattered leaves."""
    picture = Image.new("RGB", size, base)
    chance = random.Random(7)
    for _ in range(46):
        leaf = Image.new("L", (84, 84))
        ImageDraw.Draw(leaf).ellipse((30, 4, 54, 80), fill=255)
        leaf = leaf.rotate(chance.randrange(360), Image.Resampling.BICUBIC)
        tone = mix(ink, base, chance.random() * 0.4)
        picture.paste(tone, (chance.randrange(-30, size[0]), chance.randrange(-30, size[1])), leaf)
    return picture
