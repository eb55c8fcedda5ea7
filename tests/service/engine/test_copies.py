"""Copies among pictures that look alike: every planted one is found with its kind, and none is invented."""

from __future__ import annotations

import csv
import io
import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from data import brush, products
from pipeline.report.copies import Copies
from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.engine import open_engine
from pipeline.service.findings import CatalogueConfig, Engine, Item
from tests.service.engine.conftest import SAMPLE

OTHERS = 88


def scene(seed: int, width: int = 640, height: int = 480) -> Image.Image:
    """Return a picture with as many details as a photograph, unlike that of any other seed."""
    rng = random.Random(seed)
    coarse = width // 16, height // 16
    noise = Image.frombytes("L", coarse, rng.randbytes(coarse[0] * coarse[1])).resize((width, height))
    dark, bright = (f"rgb({rng.randrange(256)}, {rng.randrange(256)}, {rng.randrange(256)})" for _ in range(2))
    image = ImageOps.colorize(noise, dark, bright)
    pen = ImageDraw.Draw(image)
    for _ in range(40):
        x, y, size = rng.randrange(width), rng.randrange(height), rng.randrange(20, 160)
        color = tuple(rng.randrange(256) for _ in range(3))
        draw = rng.choice([pen.ellipse, pen.rectangle])
        draw((x, y, x + size, y + rng.randrange(20, 160)), fill=color, outline="black")
    return image.filter(ImageFilter.GaussianBlur(1))


def file(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """Return the file of a picture."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def cut(image: Image.Image) -> Image.Image:
    """Return a picture without a tenth of it."""
    width, height = image.size
    return image.crop((width // 20, height // 20, width - width // 20, height - height // 20))


def labelled(image: Image.Image) -> Image.Image:
    """Return a picture with a price tag on it."""
    copy = image.copy()
    ImageDraw.Draw(copy).rectangle((30, 30, 180, 90), fill="red", outline="white", width=6)
    return copy


CHANGES: dict[str, tuple[str, Callable[[Image.Image], bytes]]] = {
    "exact": ("exact", lambda image: file(image, quality=92)),
    "worse": ("same", lambda image: file(image, quality=40)),
    "webp": ("same", lambda image: file(image, "WEBP", quality=70)),
    "tiff": ("same", lambda image: file(image, "TIFF")),
    "png": ("same", lambda image: file(image, "PNG")),
    "small": ("same", lambda image: file(image.resize((160, 120), Image.Resampling.LANCZOS), quality=80)),
    "large": ("same", lambda image: file(image.resize((1280, 960), Image.Resampling.BICUBIC), quality=90)),
    "mirrored": ("mirrored", lambda image: file(ImageOps.mirror(image), quality=85)),
    "cut": ("edited", lambda image: file(cut(image), quality=85)),
    "framed": ("edited", lambda image: file(ImageOps.expand(image, 40, "white"), quality=85)),
    "bright": ("edited", lambda image: file(ImageEnhance.Brightness(image).enhance(1.2), quality=85)),
    "labelled": ("edited", lambda image: file(labelled(image), quality=85)),
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a catalogue of pictures, one group of copies for each of CHANGES among many others, none with a page."""
    folder = tmp_path_factory.mktemp("planted")
    rows = []
    for number, (name, (_, change)) in enumerate(CHANGES.items()):
        original = scene(number)
        (folder / f"{name}.jpg").write_bytes(file(original, quality=92))
        (folder / f"{name}-copy").write_bytes(change(original))
        rows += [(name, f"{name}.jpg"), (f"{name}-copy", f"{name}-copy")]
    for number in range(OTHERS):
        (folder / f"{number}.jpg").write_bytes(file(scene(1000 + number), quality=85))
        rows.append((f"other-{number}", f"{number}.jpg"))
    return write_catalogue(folder, rows)


def write_catalogue(folder: Path, rows: Sequence[tuple[str, str]]) -> Path:
    """Write the ids and files of a catalogue, and return its path."""
    with (folder / "catalogue.csv").open("w", newline="") as out:
        csv.writer(out).writerows([("id", "image"), *rows])
    return folder / "catalogue.csv"


def duplicates(engine: Engine, item_id: str, folder: Path, path: str) -> dict[str, str]:
    """Return the kinds of the copies of a row by their ids, without itself."""
    found = engine.inspect((folder / path).read_bytes()).duplicates
    assert all(0 < copy.score <= 1 for copy in found)
    return {copy.item.id: copy.kind for copy in found if copy.item.id != item_id}


def test_every_planted_copy_is_found_and_none_is_invented(planted: Path, tmp_path: Path, decoders: Decoders) -> None:
    """Each copy finds its original and the other way round, with the kind of what was done to it, and nothing else."""
    engine = open_engine(CatalogueConfig(path=planted), tmp_path, decoders)
    for item in engine.items():
        name = item.id.removesuffix("-copy")
        other = name if item.id.endswith("-copy") else f"{name}-copy"
        expected = {} if name not in CHANGES else {other: CHANGES[name][0]}
        assert duplicates(engine, item.id, planted.parent, item.image) == expected, item.id


def product(seed: int) -> Image.Image:
    """Return the drawing of a product in colours of its own, as flat as those of a shop."""
    rng = random.Random(seed)
    first, second = (f"#{rng.randrange(1 << 24):06x}" for _ in range(2))
    motif = rng.choice([brush.plain, brush.stripes, brush.dots, brush.checks, brush.heart, brush.leaves])
    form = rng.choice([products.mug, products.bag, products.shirt])
    return form(first, second, motif).resize((480, 480))


EDITS: Sequence[Callable[[Image.Image], Image.Image]] = (
    cut,
    lambda image: ImageOps.expand(image, 40, "white"),
    lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    lambda image: ImageEnhance.Contrast(image).enhance(1.25),
)


def copies_of(image: Image.Image, edit: Callable[[Image.Image], Image.Image]) -> Iterator[bytes]:
    """Yield a picture's file and copies of it: the bytes, encoded again, resized, edited, mirrored."""
    yield from [file(image, quality=92)] * 2
    yield from (file(image, quality=40), file(image, "WEBP", quality=60), file(image, "PNG"))
    for scale in (0.25, 0.5, 2):
        size = round(image.width * scale), round(image.height * scale)
        yield file(image.resize(size, Image.Resampling.LANCZOS), quality=85)
    yield file(edit(image), quality=85)
    yield file(ImageOps.mirror(image), quality=85)


def plant_groups(folder: Path, groups: int, pictures: int) -> tuple[Path, set[frozenset[str]]]:
    """Write a catalogue with groups of ten copies among other pictures, mixed; return it and the ids of each group."""
    draw = (scene, scene, product)  # two photographs to one drawing
    planted: set[frozenset[str]] = set()
    files: dict[str, bytes] = {}
    for group in range(groups):
        copies = enumerate(copies_of(draw[group % 3](group), EDITS[group % len(EDITS)]))
        members = {f"{group}-{number}": data for number, data in copies}
        planted.add(frozenset(members))
        files |= members
    for number in range(pictures - len(files)):
        files[f"other-{number}"] = file(draw[number % 3](1000 + number), quality=85)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    names = random.Random(1).sample(sorted(files), len(files))
    return write_catalogue(folder, [(name, name) for name in names]), planted


def test_groups_of_copies_are_found_and_none_is_invented(tmp_path: Path, decoders: Decoders, long: bool) -> None:
    """Twelve groups among 500 pictures (three among 50 in the short form) come out whole, and are the only ones."""
    groups, pictures = (12, 500) if long else (3, 50)
    catalogue, planted = plant_groups(tmp_path, groups, pictures)
    engine = open_engine(CatalogueConfig(path=catalogue), tmp_path / "index", decoders)
    copies = Copies()
    for row, item in enumerate(engine.items()):
        found = engine.inspect((tmp_path / item.image).read_bytes()).duplicates
        named = [{"id": copy.item.id, "kind": copy.kind, "score": copy.score} for copy in found]
        copies.add(row, {"id": item.id, "source": {"sha256": item.sha256}, "duplicates": named})
    grouped = [frozenset({group.kept.id, *(copy.picture.id for copy in group.copies)}) for group in copies.groups()]
    assert len(grouped) == groups
    assert set(grouped) == planted


def test_many_near_copies_do_not_hide_a_framed_one(tmp_path: Path, decoders: Decoders) -> None:
    """A framed copy is found by its original, although more than eight other copies are nearer."""
    original = scene(0)
    for quality in range(30, 92, 4):
        (tmp_path / f"near-{quality}.jpg").write_bytes(file(original, quality=quality))
    (tmp_path / "framed.jpg").write_bytes(file(ImageOps.expand(original, 40, "white"), quality=85))
    engine = open_engine(CatalogueConfig(path=tmp_path), tmp_path / ".index", decoders)
    assert duplicates(engine, "near-90.jpg", tmp_path, "near-90.jpg")["framed.jpg"] == "edited"


def test_a_colour_that_is_hardly_another_makes_another_product(tmp_path: Path, decoders: Decoders) -> None:
    """A shirt in purple and one in magenta are two products, however alike their drawings are."""
    for name, color in (("purple", "#b82be6"), ("magenta", "#bb14d8")):
        shirt = products.shirt(color).resize((480, 480))
        (tmp_path / f"{name}.jpg").write_bytes(file(shirt, quality=85))
    engine = open_engine(CatalogueConfig(path=tmp_path), tmp_path / ".index", decoders)
    assert duplicates(engine, "purple.jpg", tmp_path, "purple.jpg") == {}


def clock(hour: int, minute: int) -> bytes:
    """Return the drawing of a clock."""
    image = Image.new("RGB", (300, 300), "white")
    pen = ImageDraw.Draw(image)
    pen.ellipse((20, 20, 280, 280), outline="black", width=8)
    for turn, length, width in (((hour + minute / 60) / 12, 70, 10), (minute / 60, 105, 6)):
        angle = 2 * math.pi * turn
        pen.line((150, 150, 150 + length * math.sin(angle), 150 - length * math.cos(angle)), fill="black", width=width)
    return file(image, "PNG")


def test_clocks_of_other_hours_are_no_copies(tmp_path: Path, decoders: Decoders) -> None:
    """Drawings that differ in a few lines only are different pictures."""
    times = [(hour, minute) for hour in (1, 2, 3, 5) for minute in (0, 5, 40)]
    for hour, minute in times:
        (tmp_path / f"{hour:02}{minute:02}.png").write_bytes(clock(hour, minute))
    engine = open_engine(CatalogueConfig(path=tmp_path), tmp_path / ".index", decoders)
    for hour, minute in times:
        name = f"{hour:02}{minute:02}.png"
        assert duplicates(engine, name, tmp_path, name) == {}


COPIES = {
    "mug-teal-at-nordlicht": ("mug-teal", "exact"),
    "card-whitney-contact": ("card-whitney", "exact"),
    "poster-fjord-small": ("poster-fjord", "same"),
    "chair-oak-rust-phone": ("chair-oak-rust", "same"),
    "bag-plum-animated": ("bag-plum", "same"),
    "poster-lagoon-cmyk": ("poster-lagoon", "same"),
    "bag-checked-mirrored": ("bag-checked", "mirrored"),
    "poster-desert-cut": ("poster-desert", "edited"),
}


def test_the_sample_has_copies_and_many_near_twins(sample: Engine, rows: dict[str, Item]) -> None:
    """Products that differ in a colour, a print or a word are no copies of each other."""
    for item in rows.values():
        if item.sha256 is None:
            continue
        found = duplicates(sample, item.id, SAMPLE.parent, item.image)
        expected = {copy: kind for copy, (original, kind) in COPIES.items() if original == item.id}
        expected |= {COPIES[item.id][0]: COPIES[item.id][1]} if item.id in COPIES else {}
        assert expected.items() <= found.items(), item.id
        invented = {other for other in found.keys() - expected.keys() if not other.startswith("mug-teal")}
        assert not invented, item.id


def test_a_copy_whose_file_is_gone_is_left_out(tmp_path: Path, decoders: Decoders) -> None:
    """What can't be compared any more is not claimed; the same bytes need no file."""
    (tmp_path / "a.jpg").write_bytes(file(scene(1), quality=92))
    (tmp_path / "b.jpg").write_bytes(file(scene(1), quality=40))
    (tmp_path / "c.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())
    data = (tmp_path / "a.jpg").read_bytes()
    engine = open_engine(CatalogueConfig(path=tmp_path), tmp_path / ".index", decoders)
    (tmp_path / "b.jpg").write_bytes(b"gone")
    (tmp_path / "c.jpg").unlink()
    assert {copy.item.id: copy.kind for copy in engine.inspect(data).duplicates} == {"a.jpg": "exact", "c.jpg": "exact"}
    assert engine.inspect(data, crop=(0.1, 0.1, 0.9, 0.9)).duplicates == ()
