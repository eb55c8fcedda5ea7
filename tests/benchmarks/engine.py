"""Measures the embedded engine: near-duplicates, look-alikes, abstention, speed; prints tables, writes JSON.

    python tests/benchmarks/engine.py [OUT.json]

Photographs are taken from ../shared/photos where they lie there; products from the sample catalogue.
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402 - after the thread count is set
from PIL import Image, ImageColor, ImageDraw, ImageEnhance, ImageFont, ImageOps  # noqa: E402 - likewise

from data import brush, products  # noqa: E402 - likewise
from pipeline.service.engine.analysis import ALGORITHM, PictureFacts, write_facts  # noqa: E402 - likewise
from pipeline.service.engine.decoders import Decoders  # noqa: E402 - likewise
from pipeline.service.engine.derived_insights import infer_query, infer_tags, labels  # noqa: E402 - likewise
from pipeline.service.engine.descriptors import DIMENSIONS, HASH_WORDS, THUMB_PX, describe  # noqa: E402 - likewise
from pipeline.service.engine.engine import CatalogueEngine, open_engine  # noqa: E402 - likewise
from pipeline.service.engine.index import (  # noqa: E402 - likewise
    DATABASE,
    DESCRIPTORS,
    HASHES,
    KEYS,
    SCHEMA,
    THUMBS,
    CatalogueIndex,
)
from pipeline.service.findings import CatalogueConfig, Match  # noqa: E402 - likewise

PHOTOS = ROOT.parent / "shared" / "photos" / "good"
SAMPLE = ROOT / "data" / "catalogue.csv"
# One file for each scene; the folder holds several of them in more than one form.
SCENES = (
    "a_3mp.avif", "e_exif1.jpg", "g_anim_small.gif", "h_1x9000.png", "h_65500x80.jpg", "j_base_15mp_safelanding.jpg",
    "j_base_20mp_kleiber.jpg", "j_base_2mp_raindrops.jpg", "j_base_4mp_twowings.jpg",
    "j_base_9mp_fossa.jpg", "j_prog_13mp_dragonfly.jpg", "j_prog_8mp_picos.jpg", "p_lineart_4mp.png",
    "p_rgb_3mp_sway.png", "pass_astronaut.png", "pass_china.jpg", "pass_coffee.png", "pass_flower.jpg",
    "pass_page.png", "pass_text.png",
)  # fmt: skip
COPIES = {
    "small", "cut", "mirrored", "phone", "clear", "animated", "cmyk", "upended", "tilted", "contact", "nordlicht",
    "fabrikam",
}  # fmt: skip
Transform = Callable[[Image.Image, random.Random], Image.Image]


def crop_tenth(image: Image.Image, chance: random.Random) -> Image.Image:
    """Cut 10 % of each side away, somewhere."""
    width, height = round(image.width * 0.9), round(image.height * 0.9)
    left, top = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def shrink(image: Image.Image, _: random.Random) -> Image.Image:
    """Scale to 0.3."""
    return image.resize((max(1, round(image.width * 0.3)), max(1, round(image.height * 0.3))), Image.Resampling.BICUBIC)


def frame(image: Image.Image, chance: random.Random) -> Image.Image:
    """Add a border of 6 % in black, white or grey."""
    return ImageOps.expand(image, round(0.06 * max(image.size)), chance.choice(["#000000", "#ffffff", "#808080"]))


def watermark(image: Image.Image, chance: random.Random) -> Image.Image:
    """Write across the picture, half transparent."""
    veil = Image.new("RGBA", image.size)
    size = max(image.size) / 11
    place = (image.width / 2, image.height * chance.uniform(0.3, 0.7))
    ImageDraw.Draw(veil).text(place, "SAMPLE COPY", (255, 255, 255, 130), ImageFont.load_default(size), "mm")
    return Image.alpha_composite(image.convert("RGBA"), veil).convert("RGB")


def recolor(image: Image.Image, _: random.Random) -> Image.Image:
    """Brighten by 10 %, saturate by 25 %, and tint warm."""
    lively = ImageEnhance.Color(ImageEnhance.Brightness(image).enhance(1.1)).enhance(1.25)
    tint = Image.new("RGB", image.size, ImageColor.getrgb("#ffb070"))
    return Image.blend(lively, tint, 0.06)


TRANSFORMS: dict[str, Transform] = {
    "none": lambda image, _: image,
    "JPEG q40": lambda image, _: image,
    "resize 0.3": shrink,
    "crop 10 %": crop_tenth,
    "border": frame,
    "watermark": watermark,
    "colour shift": recolor,
    "mirror": lambda image, _: ImageOps.mirror(image),
}


@dataclass
class Score:
    """Counts of one transform."""

    queries: int = 0
    found: int = 0
    wrong: int = 0

    @property
    def precision(self) -> float:
        """Return found / (found + wrong)."""
        return self.found / max(self.found + self.wrong, 1)

    @property
    def recall(self) -> float:
        """Return found / queries."""
        return self.found / max(self.queries, 1)


@dataclass
class Results:
    """Everything measured, for the JSON file."""

    tables: dict[str, object] = field(default_factory=dict)

    def show(self, name: str, **values: float) -> None:
        """Print a line and keep it."""
        self.tables[name] = values
        print(f"{name:34}" + "  ".join(f"{key} {value:9.3f}" for key, value in values.items()))


def encode(image: Image.Image, quality: int) -> bytes:
    """Encode as JPEG."""
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def near_duplicates(results: Results, name: str, engine: CatalogueEngine, pictures: dict[str, Image.Image]) -> None:
    """Ask for every picture in every transform; what is found under another id is wrong."""
    totals: dict[str, Score] = defaultdict(Score)
    for transform, change in TRANSFORMS.items():
        chance = random.Random(5)
        for key, picture in pictures.items():
            query = encode(change(picture, chance), 40 if transform == "JPEG q40" else 90)
            ids = {match.item.id for match in engine.inspect(query).same}
            for score in (totals[transform], totals["all"]):
                score.queries += 1
                score.found += key in ids
                score.wrong += len(ids - {key})
    for transform, score in totals.items():
        results.show(f"{name}: {transform}", precision=score.precision, recall=score.recall, queries=score.queries)


def photo_set(folder: Path) -> dict[str, Image.Image]:
    """Load one picture of each scene and its four quarters (which are other pictures), at most 1,500 px."""
    pictures = {}
    for name in SCENES:
        with Image.open(PHOTOS / name) as image:
            image.draft("RGB", (1500, 1500))
            whole = ImageOps.exif_transpose(image).convert("RGB")
        whole.thumbnail((1500, 1500))
        pictures[name] = whole
        if min(whole.size) > 300:
            for part, (x, y) in enumerate(((0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5))):
                box = (x * whole.width, y * whole.height, (x + 0.5) * whole.width, (y + 0.5) * whole.height)
                pictures[f"{name}#{part}"] = whole.crop(tuple(round(edge) for edge in box))  # type: ignore[arg-type]  # four edges
    return save_set(folder, pictures)


def save_set(folder: Path, pictures: dict[str, Image.Image]) -> dict[str, Image.Image]:
    """Write pictures as PNG with a list of them, so that they can be indexed under their keys."""
    folder.mkdir()
    with (folder / "list.jsonl").open("w", encoding="utf-8") as stream:
        for number, (key, picture) in enumerate(pictures.items()):
            picture.save(folder / f"{number}.png", compress_level=1)
            stream.write(json.dumps({"id": key, "image": f"{number}.png"}) + "\n")
    return pictures


def product_set(engine: CatalogueEngine) -> dict[str, Image.Image]:
    """Load the sample's products, one picture for each: the copies that it holds on purpose left out."""
    pictures = {}
    for item in engine.items():
        if item.token is not None and item.id.rsplit("-", 1)[-1] not in COPIES:
            with Image.open(SAMPLE.parent / item.image) as image:
                image.draft("RGB", (1500, 1500))
                pictures[item.id] = image.convert("RGB")
            pictures[item.id].thumbnail((1500, 1500))
    return pictures


def held_out_set(folder: Path) -> dict[str, Image.Image]:
    """Draw the sample's product forms in random colours and prints: near-twins that no bound was chosen on."""
    chance = random.Random(23)

    def color() -> str:
        return "#" + "".join(f"{chance.randrange(256):02x}" for _ in range(3))

    pictures = {}
    for form in (products.mug, products.bag, products.shirt):
        for number in range(8):
            motif = chance.choice((brush.plain, brush.stripes, brush.dots, brush.checks, brush.heart, brush.leaves))
            pictures[f"{form.__name__}-{number}"] = form(color(), color(), motif).resize((480, 480))
    for number in range(8):
        pictures[f"lamp-{number}"] = products.lamp(color(), color(), tall=chance.random() < 0.5).resize((480, 480))
        pictures[f"chair-{number}"] = products.chair(color(), color()).resize((480, 480))
        pictures[f"pot-{number}"] = products.pot(color(), color()).resize((480, 480))
    return save_set(folder, pictures)


def likeness(results: Results, engine: CatalogueEngine, pictures: dict[str, Image.Image]) -> None:
    """Count how many of the first five look-alikes are of the query's family (category)."""
    hits = asked = 0
    for key, picture in pictures.items():
        own, others = leave_out(engine, key, picture)
        if sum(item.category == own for item in engine.items() if item.token) > 5:
            asked += 1
            hits += sum(match.item.category == own for match in others[:5])
    results.show("look-alike P@5", precision=hits / (5 * asked), queries=asked)


def leave_out(engine: CatalogueEngine, key: str, picture: Image.Image) -> tuple[str | None, list[Match]]:
    """Return the query's category, and its neighbours as if the catalogue did not have the picture itself."""
    found = engine.inspect(encode(picture, 90))
    item = next(item for item in engine.items() if item.id == key)
    titles = {item.title}
    return item.category, [match for match in found.similar if match.item.title not in titles]


def abstention(results: Results, engine: CatalogueEngine, pictures: dict[str, Image.Image]) -> None:
    """Count best queries and tags that are wrong, right or left out, for pictures the catalogue does not have."""
    said = {"query": [0, 0, 0], "tags": [0, 0, 0]}  # right, wrong, left out
    for key, picture in pictures.items():
        _, others = leave_out(engine, key, picture)
        own = set(labels(next(item for item in engine.items() if item.id == key)))
        count(said, infer_query((), others), [tag.name for tag in infer_tags((), others, (0, 0, 1, 1))], own)
    strangers = [picture for name, picture in photos().items() if "#" not in name]
    for picture in strangers:
        found = engine.inspect(encode(picture, 90))
        count(said, found.best_query, [tag.name for tag in found.tags], set())
    for name, (right, wrong, out) in said.items():
        total = right + wrong + out
        results.show(
            f"unseen pictures: {name}", right=right / total, wrong=wrong / total, left_out=out / total, said=total
        )


def count(said: dict[str, list[int]], query: str | None, tags: Sequence[str], own: set[str]) -> None:
    """Add one picture's guesses; tags count one by one."""
    said["query"][2 if query is None else int(query not in own)] += 1
    for tag in tags:
        said["tags"][int(tag not in own)] += 1
    if not tags:
        said["tags"][2] += 1


def photos() -> dict[str, Image.Image]:
    """Return the photographs, or nothing where they don't lie beside the checkout."""
    if not PHOTOS.is_dir():
        return {}
    with tempfile.TemporaryDirectory() as folder:
        return photo_set(Path(folder, "photos"))


def speed(results: Results, engine: CatalogueEngine, pictures: dict[str, Image.Image]) -> None:
    """Time looks at pictures as the pipeline sends them (at most 1,500 px, JPEG q95): one thread, then two."""
    queries = [encode(picture, 95) for picture in pictures.values()]
    for query in queries[:5]:
        engine.inspect(query)
    began, cpu = time.perf_counter(), time.process_time()
    for query in queries:
        engine.inspect(query)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    began = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(engine.inspect, queries * 2))
    both = time.perf_counter() - began
    results.show(
        "look",
        cpu_ms=1000 * cpu / len(queries),
        wall_ms=1000 * wall / len(queries),
        per_second_one=len(queries) / wall,
        per_second_two=2 * len(queries) / both,
    )


def synthetic_index(folder: Path, count: int) -> CatalogueIndex:
    """Write an index of random features and plain rows."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    descriptors = np.lib.format.open_memmap(folder / DESCRIPTORS, "w+", np.float32, (count, DIMENSIONS))
    thumbs = np.lib.format.open_memmap(folder / THUMBS, "w+", np.uint8, (count, THUMB_PX, THUMB_PX, 3))
    for first in range(0, count, 1000):
        block = rng.random((1000, DIMENSIONS), dtype=np.float32)
        descriptors[first : first + 1000] = block / np.linalg.norm(block, axis=1, keepdims=True)
        thumbs[first : first + 1000] = rng.integers(0, 255, (1000, THUMB_PX, THUMB_PX, 3), dtype=np.uint8)
    np.save(folder / HASHES, rng.integers(0, 2**63, (count, HASH_WORDS), dtype=np.uint64))
    facts = write_facts(
        PictureFacts(width=9, height=9, bytes=9, format="png", accent_color="000000", dominant_colors=())
    )
    db = sqlite3.connect(folder / DATABASE)
    db.executescript(SCHEMA)
    db.executemany("INSERT INTO pictures VALUES (?, ?, ?)", ((n, f"{n:064x}", facts) for n in range(count)))
    db.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows(count))
    db.executescript(KEYS)
    db.executemany(
        "INSERT INTO meta VALUES (?, ?)", {"algorithm": ALGORITHM, "version": "-", "count": str(count)}.items()
    )
    db.commit()
    db.close()
    return CatalogueIndex(folder)


def rows(count: int) -> Iterator[tuple[object, ...]]:
    """Yield plain rows of the items table."""
    for n in range(count):
        fields = json.dumps(
            {"id": str(n), "image": f"{n}.jpg", "title": f"Thing {n}", "price": "9.90", "category": "thing"}
        )
        yield (
            n,
            str(n),
            f"{n}.jpg",
            f"https://example.com/{n}",
            None,
            f"own_{n}",
            f"{n:064x}",
            n,
            fields.encode(),
            f"/{n}",
            1,
            1,
        )


def large_index(results: Results, folder: Path, picture: Image.Image, count: int = 100_000) -> None:
    """Time the search in a large index, in a process of its own so that its memory can be told."""
    synthetic_index(folder, count)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        engine = CatalogueEngine(CatalogueIndex(folder), Decoders(1))
        query, features = encode(picture, 90), describe(picture)
        engine.inspect(query)
        spent = []
        for _ in range(20):
            began = time.process_time()
            scores = engine.index.similarity(features)
            engine.index.nearest(features, 8, 84)
            spent.append(time.process_time() - began)
            assert scores.shape[1] == count
        looks = []
        for _ in range(20):
            began = time.perf_counter()  # a part of the work is done in a decoder process
            engine.inspect(query)
            looks.append(time.perf_counter() - began)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        os.write(
            write, json.dumps([1000 * float(np.median(spent)), 1000 * float(np.median(looks)), peak / 1024]).encode()
        )
        os._exit(0)
    os.waitpid(child, 0)
    search_ms, look_ms, megabytes = json.loads(os.read(read, 1000))
    results.show(f"index of {count}", search_ms=search_ms, look_ms=look_ms, rss_mb=megabytes)


def indexed(path: Path, folder: Path, decoders: Decoders) -> CatalogueEngine:
    """Index a catalogue."""
    engine = open_engine(CatalogueConfig(path=path), folder, decoders)
    assert isinstance(engine, CatalogueEngine)
    return engine


def main(out: Path) -> None:
    """Run all of it."""
    results = Results()
    with tempfile.TemporaryDirectory() as name, Decoders(os.cpu_count() or 1) as decoders:
        folder = Path(name)
        sample = indexed(SAMPLE, folder / "sample-index", decoders)
        own = product_set(sample)
        sets = {"near-twins": save_set(folder / "near-twins", own), "held-out": held_out_set(folder / "held-out")}
        if PHOTOS.is_dir():
            sets["photos"] = photo_set(folder / "photos")
        large_index(results, folder / "large", next(iter(own.values())))
        for kind, pictures in sets.items():
            engine = indexed(folder / kind / "list.jsonl", folder / f"{kind}-index", decoders)
            near_duplicates(results, kind, engine, pictures)
        speed(results, engine, {key: picture for key, picture in pictures.items() if "#" not in key})
        likeness(results, sample, own)
        abstention(results, sample, own)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results.tables, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "out" / "bench" / "engine.json")
