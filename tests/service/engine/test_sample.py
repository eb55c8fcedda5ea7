"""The sample catalogue is what its script draws."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.service.engine.conftest import SAMPLE

ROOT = SAMPLE.parents[1]


@pytest.fixture(scope="module")
def redrawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("redrawn")
    subprocess.run([sys.executable, "-m", "data.make_sample", str(folder)], cwd=ROOT, check=True)
    return folder


def test_the_script_makes_the_catalogue(redrawn: Path) -> None:
    """Drawn again, the manifest is the committed one to the byte, and the pictures are the same ones."""
    assert (redrawn / "catalogue.csv").read_bytes() == SAMPLE.read_bytes()
    drawn = {path.name for path in (redrawn / "images").iterdir()}
    assert drawn == {path.name for path in (SAMPLE.parent / "images").iterdir()}
    for name in drawn - {"mug-broken.jpg"}:
        with Image.open(redrawn / "images" / name) as new, Image.open(SAMPLE.parent / "images" / name) as old:
            assert (new.size, new.mode, new.format) == (old.size, old.mode, old.format)
            old.load()


def test_the_sample_holds_what_tests_the_pipeline() -> None:
    """Ids are unique; formats, sizes and odd files that the pipeline must handle are all there, and it stays small."""
    with SAMPLE.open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    images = SAMPLE.parent / "images"
    with Image.open(images / "mug-broken.jpg") as broken, pytest.raises(OSError, match="truncated"):
        broken.load()
    facts = {}
    for path in sorted(images.iterdir()):
        with Image.open(path) as image:
            facts[path.name] = (image.format, image.mode, max(image.size), path.stat().st_size)
    assert len({line["id"] for line in lines}) == len(lines) >= 60
    assert {line["image"] for line in lines} == {f"images/{name}" for name in facts}
    assert {form for form, *_ in facts.values()} == {"JPEG", "PNG", "WEBP", "GIF"}
    assert {"CMYK", "RGBA"} <= {mode for _, mode, *_ in facts.values()}
    assert max(side for _, _, side, _ in facts.values()) > 6000
    assert max(size for *_, size in facts.values()) > 1_000_000
    assert sum(size for *_, size in facts.values()) < 2_200_000
    assert {line["currency"] for line in lines} == {"", "USD", "EUR"}
    assert sum(1 for line in lines if line["crop"]) == 1
