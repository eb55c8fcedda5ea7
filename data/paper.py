"""The sample's printed matter: posters, business cards, signs and labels, with text to be read."""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw, ImageFilter

from data.brush import Color, mix, write_text

CARD_PX = (1050, 600)


def poster(sky: Color, land: Color, title: str, seed: int) -> Image.Image:
    """Draw a travel poster: hills in the evening under a large sun, 900 x 1200 px."""
    canvas = Image.new("RGB", (900, 1200), sky)
    draw = ImageDraw.Draw(canvas)
    chance = random.Random(seed)
    for band in range(24):
        draw.rectangle((0, band * 32, 900, band * 32 + 32), fill=mix(sky, "#fff1d0", band / 30))
    x = chance.randrange(200, 700)
    draw.ellipse((x - 150, 260, x + 150, 560), fill=mix("#ffe08a", land, 0.1))
    for layer in range(5):
        phase, height = chance.random() * 6, 560 + layer * 95
        ridge = [
            (px, height + 46 * math.sin(px / (120 + 25 * layer) + phase) + 16 * math.sin(px / 31 + phase))
            for px in range(0, 901, 10)
        ]
        draw.polygon([*ridge, (900, 1040), (0, 1040)], fill=mix(mix(sky, land, 0.35), land, layer / 4))
    draw.rectangle((0, 1030, 900, 1200), fill="#faf6ec")
    write_text(canvas, (450, 1115), title.upper(), 76, mix(land, "#000000", 0.3), "mm")
    return canvas


def banner(width: int, height: int, title: str) -> Image.Image:
    """Draw a very wide shop banner of coloured panels."""
    canvas = Image.new("RGB", (width, height), "#f2efe6")
    draw = ImageDraw.Draw(canvas)
    tones = ("#0f766e", "#f4a259", "#bc4b51", "#5b8e7d", "#264653", "#e9c46a")
    step = width // len(tones)
    for place, tone in enumerate(tones):
        draw.rectangle((place * step, 0, place * step + step, height), fill=tone)
        x, y, r = place * step + step // 2, height // 2, height // 3
        draw.regular_polygon((x, y, r), 3 + place, rotation=15 * place, fill=mix(tone, "#ffffff", 0.55))
    draw.rectangle((0, height - 130, width, height), fill="#1f2933")
    write_text(canvas, (width // 2, height - 65), title, 84, "#ffffff", "mm")
    return canvas


def card(name: str, role: str, lines: tuple[str, ...], paper: Color, ink: Color, accent: Color) -> Image.Image:
    """Draw a business card: a name, what its owner does, and how to reach them."""
    canvas = Image.new("RGB", CARD_PX, paper)
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((0, 0, 34, CARD_PX[1]), fill=accent)
    draw.ellipse((850, 70, 970, 190), fill=accent)
    draw.ellipse((880, 100, 940, 160), fill=paper)
    write_text(canvas, (100, 95), name, 66, ink)
    write_text(canvas, (100, 182), role, 34, mix(ink, accent, 0.6))
    draw.line((100, 262, 560, 262), fill=accent, width=4)
    for row, line in enumerate(lines):
        write_text(canvas, (100, 310 + row * 62), line, 36, ink)
    return canvas


def sign(lines: tuple[str, ...], board: Color, ink: Color, wall: Color) -> Image.Image:
    """Draw a sign on a post in the open."""
    canvas = Image.new("RGB", (960, 720), wall)
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((0, 560, 960, 720), fill=mix("#6b8f5a", wall, 0.2))
    draw.rectangle((452, 400, 508, 700), fill="#7a5b3f")
    draw.rounded_rectangle((110, 90, 850, 450), 34, fill=mix(board, "#000000", 0.35))
    draw.rounded_rectangle((104, 80, 844, 438), 34, fill=board)
    draw.rounded_rectangle((124, 100, 824, 418), 24, outline=ink, width=8)
    size = 84 if len(lines) < 3 else 64
    for row, line in enumerate(lines):
        write_text(canvas, (474, 262 + (row - (len(lines) - 1) / 2) * size * 1.25), line, size, ink, "mm")
    return canvas


def label(title: str, lines: tuple[str, ...], paper: Color, ink: Color) -> Image.Image:
    """Draw a jar with a printed label."""
    canvas = Image.new("RGB", (720, 900), "#efe7db")
    draw = ImageDraw.Draw(canvas)
    shadow = Image.new("L", canvas.size)
    ImageDraw.Draw(shadow).ellipse((120, 790, 620, 870), fill=90)
    canvas.paste("#3b2f2f", mask=shadow.filter(ImageFilter.GaussianBlur(16)))
    draw.rounded_rectangle((130, 150, 590, 840), 60, fill=mix(ink, "#ffffff", 0.25))
    draw.rounded_rectangle((150, 170, 230, 820), 40, fill=mix(ink, "#ffffff", 0.45))
    draw.rounded_rectangle((150, 70, 570, 170), 22, fill="#c9a227")
    draw.rectangle((130, 320, 590, 720), fill=paper)
    write_text(canvas, (360, 390), title, 58, ink, "mm")
    draw.line((190, 436, 530, 436), fill=ink, width=3)
    for row, line in enumerate(lines):
        write_text(canvas, (360, 490 + row * 56), line, 34, ink, "mm")
    return canvas
