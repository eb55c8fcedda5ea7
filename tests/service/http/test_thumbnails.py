"""Thumbnails serve what was indexed: a file that has become anything else is not opened, or not shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.engine import open_engine
from pipeline.service.findings import CatalogueConfig
from tests.service.engine.drawing import draw, encode

if TYPE_CHECKING:
    from tests.service.serving import Served

    Start = Callable[..., Served]

INDEXED = encode(draw(1), "BMP")  # as large as any picture of its size
OTHER = encode(draw(2), "BMP")


def _link_to(file: Path, target: str) -> None:
    file.unlink()
    file.symlink_to(target)


def _link_the_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name("moved"))
    file.parent.symlink_to("moved")


def _make_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a device": lambda file: _link_to(file, "/dev/zero"),
    "a link outside": lambda file: _link_to(file, "/etc/passwd"),
    "a link inside": lambda file: _link_to(file, "other.bmp"),
    "a folder that is a link": _link_the_folder,
    "a FIFO": _make_fifo,
    "larger": lambda file: file.write_bytes(INDEXED + b"x"),
    "endless": lambda file: os.truncate(file, 2**40),
    "other content": lambda file: file.write_bytes(OTHER),
    "gone": lambda file: file.unlink(),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a catalogue with two pictures."""
    folder = tmp_path / "pictures" / "inner"
    folder.mkdir(parents=True)
    (folder / "mug.bmp").write_bytes(INDEXED)
    (folder / "other.bmp").write_bytes(OTHER)
    assert len(INDEXED) == len(OTHER)
    return folder


@pytest.mark.parametrize("change", CHANGES)
def test_only_what_was_indexed_is_served(
    folder: Path, tmp_path: Path, start: Start, change: str, decoders: Decoders
) -> None:
    """No link, device or FIFO is followed, nothing larger is read, and other content is not shown."""
    engine = open_engine(CatalogueConfig(path=folder.parent), tmp_path / "index", decoders)
    tokens = {item.image: item.token for item in engine.items()}
    served = start(engine)
    target = f"/thumbnails/{tokens['inner/mug.bmp']}"
    assert served.send("GET", target).headers["content-type"] == "image/jpeg"
    CHANGES[change](folder / "mug.bmp")
    assert served.send("GET", target).status == 404
    refused = served.visual_search({"imageInfo": {"imageInsightsToken": tokens["inner/mug.bmp"]}})
    assert (refused.status, refused.error["parameter"]) == (400, "imageInsightsToken")
