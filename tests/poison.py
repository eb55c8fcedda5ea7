"""Poison pictures: what a stranger's file can do to a decoder, and a decoder for tests that does it on demand."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from PIL import Image, PngImagePlugin

from tests.service.engine.drawing import draw

# Python imports a module of this name when a process starts. It lets pictures act: a PNG says in a text what happens
# when its pixels are decoded.
_SITECUSTOMIZE = """
import os, signal, sys, time
from PIL import ImageFile
load = ImageFile.ImageFile.load
def acting_load(image):
    exec(image.info.get("Act", ""))
    return load(image)
ImageFile.ImageFile.load = acting_load
"""
_SCAN = b"\xff\xda"

CRASH: Final = "os.kill(os.getpid(), signal.SIGSEGV)"
HANG: Final = "time.sleep(1000)"
COMPUTE: Final = "while True: pass"
TAKE_MEMORY: Final = "bytearray(64 * 1024**3)"


def many_scans(number: int, scans: int = 3000) -> bytes:
    """Return a progressive JPEG of 1,500 px whose last scan is repeated: 14 s of work in 60 KB."""
    target = io.BytesIO()
    draw(number, (1500, 1500)).save(target, "JPEG", quality=20, progressive=True)
    data = target.getvalue()
    return data[:-2] + data[data.rindex(_SCAN) : -2] * scans + data[-2:]


def acting(number: int, act: str, size: tuple[int, int] = (200, 150)) -> bytes:
    """Return a PNG that makes the decoder for tests execute a text of Python."""
    target, texts = io.BytesIO(), PngImagePlugin.PngInfo()
    texts.add_text("Act", act)
    draw(number, size).save(target, "PNG", pnginfo=texts)
    return target.getvalue()


def huge_header(number: int) -> bytes:
    """Return a GIF of some bytes that claims 65,535 x 65,535 px."""
    target = io.BytesIO()
    Image.new("L", (8, 8), number % 256).save(target, "GIF")
    data = bytearray(target.getvalue())
    data[6:10] = b"\xff\xff\xff\xff"
    return bytes(data)


@contextmanager
def acting_decoder(folder: Path) -> Iterator[None]:
    """Give all processes that start meanwhile the decoder for tests, by a module in `folder`."""
    (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), before]))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
