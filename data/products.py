"""The sample's products: each function draws one thing of a family, so that a family is full of near-twins."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFilter

from data.brush import SIDE_PX, Color, Points, Print, backdrop, cast_shadow, mask_of, mix, paint, plain, stripes

_SIZE = (SIDE_PX, SIDE_PX)
Drawn = Callable[[ImageDraw.ImageDraw], object]


def _shape(draw_on: Drawn) -> Image.Image:
    return mask_of(_SIZE, draw_on)


def _polygon(points: Points) -> Image.Image:
    return _shape(lambda draw: draw.polygon(points, fill=255))


def _block(box: tuple[float, float, float, float], radius: float) -> Image.Image:
    return _shape(lambda draw: draw.rounded_rectangle(box, radius, fill=255))


def _arch(box: tuple[float, float, float, float]) -> Image.Image:
    return _shape(lambda draw: draw.arc(box, 180, 360, fill=255, width=34))


def mug(color: Color, ink: Color = "#ffffff", motif: Print = plain, wall: Color = "#dfe4ea") -> Image.Image:
    """Draw a mug with its handle to the right."""
    canvas = backdrop(wall)
    cast_shadow(canvas, (200, 740, 800, 850))
    handle = _shape(lambda draw: draw.ellipse((590, 330, 830, 660), outline=255, width=52))
    paint(canvas, handle, mix(color, "#000000", 0.12), roundness=0.5)
    body = _block((230, 240, 680, 800), 70)
    cloth = Image.new("RGB", _SIZE, color)
    cloth.paste(motif((450, 560), color, ink), (230, 240))
    paint(canvas, body, cloth, roundness=0.9)
    draw = ImageDraw.Draw(canvas)
    draw.ellipse((230, 205, 680, 295), fill=mix(color, "#ffffff", 0.35))
    draw.ellipse((250, 218, 660, 286), fill=mix(color, "#000000", 0.55))
    return canvas


def bag(color: Color, ink: Color = "#ffffff", motif: Print = plain, wall: Color = "#efe9e1") -> Image.Image:
    """Draw a tote bag with two handles."""
    canvas = backdrop(wall, floor=0.8)
    cast_shadow(canvas, (190, 800, 780, 880))
    for shift, tone in ((24, 0.35), (0, 0.12)):
        strap = _arch((340 + shift, 90, 620 + shift, 620))
        paint(canvas, strap, mix(color, "#000000", tone))
    body = _polygon([(210, 345), (750, 345), (790, 845), (170, 845)])
    cloth = Image.new("RGB", _SIZE, color)
    cloth.paste(motif((620, 500), color, ink), (170, 345))
    paint(canvas, body, cloth, roundness=0.35)
    draw = ImageDraw.Draw(canvas)
    draw.line((210, 380, 750, 380), fill=mix(color, "#000000", 0.3), width=4)
    return canvas


def shirt(color: Color, ink: Color = "#ffffff", motif: Print = plain, wall: Color = "#f4f4f2") -> Image.Image:
    """Draw a T-shirt, laid flat."""
    canvas = Image.new("RGB", _SIZE, wall)
    outline = [
        (330, 150), (180, 215), (70, 420), (200, 490), (265, 400), (265, 850), (695, 850), (695, 400), (760, 490),
        (890, 420), (780, 215), (630, 150),
    ]  # fmt: skip
    cast_shadow(canvas, (250, 800, 730, 890), strength=0.25)
    cloth = Image.new("RGB", _SIZE, color)
    if motif is stripes:
        cloth = motif(_SIZE, color, ink)
    elif motif is not plain:
        cloth.paste(motif((430, 500), color, ink), (265, 270))
    paint(canvas, _polygon(outline), cloth, roundness=0.3)
    draw = ImageDraw.Draw(canvas)
    draw.pieslice((380, 70, 580, 250), 0, 180, fill=wall)
    draw.arc((370, 60, 590, 262), 0, 180, fill=mix(color, "#000000", 0.25), width=14)
    for x, lean in ((265, 18), (695, -18)):
        draw.line((x, 400, x + lean, 300), fill=mix(color, "#000000", 0.28), width=5)
    return canvas


def lamp(shade: Color, foot: Color, wall: Color = "#e8e2d6", *, tall: bool = False) -> Image.Image:
    """Draw a table lamp, lit."""
    canvas = backdrop(wall, floor=0.82)
    glow = _shape(lambda draw: draw.ellipse((170, 120, 790, 760), fill=150))
    canvas.paste("#fff3c4", mask=glow.filter(ImageFilter.GaussianBlur(90)))
    cast_shadow(canvas, (320, 810, 640, 880))
    stem = (455, 470, 505, 830) if not tall else (468, 400, 492, 830)
    paint(canvas, _shape(lambda draw: draw.rectangle(stem, fill=255)), foot, roundness=0.9)
    paint(canvas, _shape(lambda draw: draw.ellipse((350, 800, 610, 862), fill=255)), foot, roundness=0.6)
    top = 120 if tall else 190
    paint(canvas, _polygon([(370, top), (590, top), (720, top + 310), (240, top + 310)]), shade, roundness=0.7)
    ImageDraw.Draw(canvas).ellipse((240, top + 285, 720, top + 335), fill=mix(shade, "#fff6d5", 0.7))
    return canvas


def chair(seat: Color, wood: Color, wall: Color = "#e3e8e4") -> Image.Image:
    """Draw a wooden chair with an upholstered seat."""
    canvas = backdrop(wall, floor=0.78)
    cast_shadow(canvas, (200, 800, 780, 890))
    for x, top, bottom in ((300, 120, 800), (620, 120, 800), (240, 560, 860), (690, 560, 860)):
        leg = _block((x, top, x + 38, bottom), 16)
        paint(canvas, leg, wood, roundness=0.8)
    for top in (170, 270, 370):
        slat = _block((310, top, 650, top + 52), 18)
        paint(canvas, slat, mix(wood, "#ffffff", 0.12), roundness=0.4)
    paint(canvas, _polygon([(290, 520), (670, 520), (745, 620), (225, 620)]), seat, roundness=0.4)
    ImageDraw.Draw(canvas).rectangle((225, 618, 745, 645), fill=mix(seat, "#000000", 0.35))
    return canvas


def pot(color: Color, leaf: Color, wall: Color = "#eef1ea", motif: Print = plain) -> Image.Image:
    """Draw a plant in a pot."""
    canvas = backdrop(wall, floor=0.76)
    cast_shadow(canvas, (280, 780, 700, 860))
    for turn in range(-75, 76, 25):
        blade = _shape(lambda draw: draw.ellipse((445, 110, 515, 560), fill=255))
        paint(canvas, blade.rotate(turn, center=(480, 560)), mix(leaf, "#000000", abs(turn) / 260), roundness=0.3)
    cloth = Image.new("RGB", _SIZE, color)
    cloth.paste(motif((340, 300), color, mix(color, "#ffffff", 0.75)), (310, 530))
    paint(canvas, _polygon([(310, 530), (650, 530), (600, 820), (360, 820)]), cloth, roundness=0.9)
    rim = _block((290, 500, 670, 570), 20)
    paint(canvas, rim, mix(color, "#ffffff", 0.15), roundness=0.8)
    return canvas


def notebook(color: Color, band: Color, wall: Color = "#e6e0ea", motif: Print = plain) -> Image.Image:
    """Draw a notebook with an elastic band, lying at an angle."""
    canvas = Image.new("RGB", _SIZE, wall)
    cover = Image.new("RGBA", (500, 680), color)
    cover.paste(motif((500, 680), color, band), (0, 0))
    draw = ImageDraw.Draw(cover)
    draw.rectangle((0, 0, 46, 680), fill=mix(color, "#000000", 0.3))
    draw.rectangle((410, 0, 436, 680), fill=band)
    draw.rounded_rectangle((130, 120, 350, 200), 10, fill="#fbfaf5")
    draw.line((150, 162, 330, 162), fill="#9aa0a6", width=4)
    turned = cover.rotate(9, Image.Resampling.BICUBIC, expand=True)
    cast_shadow(canvas, (190, 760, 830, 880), strength=0.4)
    canvas.paste(turned, ((SIDE_PX - turned.width) // 2, (SIDE_PX - turned.height) // 2), turned)
    return canvas
