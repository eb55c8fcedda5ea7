"""Image preparation measured against other ways to do it, on a folder of pictures: prints a table, writes JSON.

Run: python tests/benchmarks/prepare.py [FOLDER]   (needs the extra `bench`)

Speed is CPU seconds (the machine may be busy), medians over rounds, the methods in rotated order within each round;
groups are geometric means of the ratios of single files. Sharpness is SSIM against a full decode and one LANCZOS
resize.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import numpy as np
import numpy.typing as npt
import orjson
from PIL import Image, ImageOps

os.environ.setdefault("VIPS_CONCURRENCY", "1")  # one picture on one core, as all the others

import pyvips
import simplejpeg

from pipeline.errors import PrepareError
from pipeline.prepare.budget import Budget
from pipeline.prepare.decoder_messages import Settings
from pipeline.prepare.decoder_pool import DecoderPool
from pipeline.prepare.decoder_threads import DecoderThreads, responsive_loop
from pipeline.prepare.encode import encode_jpeg, encode_within
from pipeline.prepare.fit import fit
from pipeline.prepare.fit_rules import FitRules

T = TypeVar("T")
Method = Callable[[bytes], bytes]

SIDE, BYTES = 1500, 1_000_000
RULES = FitRules(max_bytes=BYTES, max_side_px=SIDE)
ROUNDS = 5
KEPT_BLOCKS = Image.core.get_blocks_max()  # type: ignore[attr-defined] # as our code has set it; not in the stubs
OUT = Path("out/bench/prepare.json")


def naive(data: bytes, quality: int) -> bytes:
    image: Image.Image = Image.open(BytesIO(data)).convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    while True:
        file = BytesIO()
        image.save(file, "JPEG", quality=quality)
        if file.tell() <= BYTES or quality <= 5:
            return file.getvalue()
        quality -= 5


def vips(data: bytes) -> bytes:
    image = pyvips.Image.thumbnail_buffer(data, SIDE, height=SIDE, size="down")
    return bytes(image.write_to_buffer(".jpg", Q=95))


def floor(data: bytes) -> bytes:
    """Scaled decode and one encode by libjpeg-turbo, no resize: nobody who uses it can be faster."""
    width, height = (min(SIDE, side) for side in simplejpeg.decode_jpeg_header(data)[1::-1])
    pixels = simplejpeg.decode_jpeg(data, "RGB", min_width=width, min_height=height)
    return bytes(simplejpeg.encode_jpeg(pixels, 95, "RGB", "444"))


def ours(data: bytes) -> bytes:
    return fit(data, RULES).data


METHODS: dict[str, Method] = {
    "ours": ours,
    "naive q95": lambda data: naive(data, 95),
    "naive q85": lambda data: naive(data, 85),
    "pyvips": vips,
    "floor": floor,
}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One file of the folder that has to be encoded; `side` is its longer side in px."""

    name: str
    data: bytes = field(repr=False)
    format: str
    megapixels: float
    side: int
    progressive: bool
    plain: bool  # no profile and no CMYK, so that any two methods show the same colours

    @property
    def jpeg(self) -> bool:
        return self.format in {"JPEG", "MPO"}


GROUPS: dict[str, Callable[[Picture], bool]] = {
    "baseline JPEG >= 9 MP": lambda p: p.jpeg and not p.progressive and p.megapixels >= 9,
    "  of these RGB without profile": lambda p: p.jpeg and not p.progressive and p.megapixels >= 9 and p.plain,
    "baseline JPEG 4,000-5,999 px": lambda p: p.jpeg and not p.progressive and 4000 <= p.side < 6000,
    "progressive JPEG": lambda p: p.jpeg and p.progressive,
    "all JPEG": lambda p: p.jpeg,
    "other formats": lambda p: not p.jpeg,
}


def pictures(folder: Path) -> Iterator[Picture]:
    """Yield the pictures of `folder` that are over the limits; those that pass take microseconds and no comparison."""
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        data = path.read_bytes()
        try:
            if fit(data, RULES).action != "encoded":
                continue
        except PrepareError as exc:
            print(f"{path.name}: left out ({exc.code})")
            continue
        with Image.open(BytesIO(data)) as image:
            yield Picture(
                name=path.name,
                data=data,
                format=image.format or "",
                megapixels=image.width * image.height / 1e6,
                side=max(image.size),
                progressive="progressive" in image.info,
                plain="icc_profile" not in image.info and image.mode == "RGB",
            )


def cpu(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def as_it_comes(name: str) -> None:
    """Let each method have the memory it has by itself: ours keeps freed pixel memory, plain Pillow does not."""
    Image.core.set_blocks_max(KEPT_BLOCKS if name == "ours" else 0)  # type: ignore[attr-defined] # not in the stubs


def speeds(picture: Picture) -> dict[str, float]:
    """Return the median CPU seconds of each method that reads this picture."""
    usable = [name for name in METHODS if name != "floor" or (picture.jpeg and picture.plain)]
    times: dict[str, list[float]] = {name: [] for name in usable}
    for turn in range(ROUNDS):
        for name in usable[turn % len(usable) :] + usable[: turn % len(usable)]:
            as_it_comes(name)
            METHODS[name](picture.data)  # a worker that has run for a while is what is measured
            times[name].append(cpu(lambda name=name: METHODS[name](picture.data)))  # type: ignore[misc] # mypy infers no lambda with a default
    return {name: statistics.median(values) for name, values in times.items()}


def ratio(table: dict[str, dict[str, float]], names: list[str], other: str) -> float:
    """Return how many times faster ours is than `other`: the geometric mean over files."""
    logs = [math.log(table[name][other] / table[name]["ours"]) for name in names if other in table[name]]
    return math.exp(statistics.fmean(logs)) if logs else math.nan


def window_means(values: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.float64]:
    sums: npt.NDArray[np.float64] = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    means: npt.NDArray[np.float64] = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side]
    return (means + sums[:-side, :-side]) / side**2


def ssim(a: Image.Image, b: Image.Image) -> float:
    """Return the mean structural similarity of two pictures over their bands (8 x 8 px windows; Wang et al., 2004)."""
    return statistics.fmean(
        _ssim(np.asarray(one, dtype=np.float64), np.asarray(two, dtype=np.float64))
        for one, two in zip(a.split(), b.split(), strict=True)
    )


def _ssim(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    side = min(8, *a.shape)
    mean_a, mean_b = window_means(a, side), window_means(b, side)
    var_a, var_b = window_means(a * a, side) - mean_a**2, window_means(b * b, side) - mean_b**2
    covariance = window_means(a * b, side) - mean_a * mean_b
    one, two = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_a * mean_b + one) * (2 * covariance + two)
    return float((similarity / ((mean_a**2 + mean_b**2 + one) * (var_a + var_b + two))).mean())


def sharpness(picture: Picture, method: str, mode: str) -> float:
    """Return the SSIM, in RGB or on L alone, against the picture decoded whole and resized once with LANCZOS."""
    whole = Image.open(BytesIO(picture.data))
    orientation = whole.getexif().get(0x0112, 1)
    upright = ImageOps.exif_transpose(whole)
    result: Image.Image = Image.open(BytesIO(METHODS[method](picture.data)))
    if method.startswith("naive") and orientation != 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        result.info["exif"] = exif.tobytes()
        result = ImageOps.exif_transpose(result)
    wanted = upright.convert("RGB").resize(result.size, Image.Resampling.LANCZOS)
    return ssim(wanted.convert(mode), result.convert("RGB").convert(mode))


def search_cost(files: list[Picture]) -> dict[str, float]:
    """Search the quality at limits of 75, 50, 35 and 25 % of the first encode: encodes, and points below the best."""
    encodes, shrunk, short = [], [], []
    for picture in files:
        image = Image.open(BytesIO(ours(picture.data))).convert("RGB")
        whole = len(encode_jpeg(image, 95, 0))
        for share in (0.75, 0.5, 0.35, 0.25):
            limit = int(whole * share)
            found = encode_within(image, FitRules(max_bytes=limit, max_side_px=SIDE))
            if found.size != image.size or found.quality is None:
                shrunk.append(found.encodes)
                continue
            encodes.append(found.encodes)
            short.append(points_below_best(image, found.quality, share, limit))
    return {
        "encodes": statistics.fmean(encodes),
        "encodes, most": max(encodes),
        "encodes where px had to go as well": statistics.fmean(shrunk or [math.nan]),
        "points below best, mean": statistics.fmean(short),
    }


def points_below_best(image: Image.Image, quality: int, share: float, limit: int) -> int:
    subsampling = 2 if share < 0.8 else 0
    better = quality
    while better < 95 and len(encode_jpeg(image, better + 1, subsampling)) <= limit:
        better += 1
    return better - quality


def two_workers(files: list[Picture]) -> float:
    """Return how many times faster two threads are than one, wall time, the best of several turns."""
    jobs = [picture.data for picture in files] * 2

    def wall(workers: int) -> float:
        with ThreadPoolExecutor(workers) as pool:
            started = time.perf_counter()
            list(pool.map(ours, jobs))
            return time.perf_counter() - started

    pairs = [(wall(1), wall(2)) for _ in range(3)]
    return min(one for one, _ in pairs) / min(two for _, two in pairs)


async def stall(work: Callable[[bytes], object], jobs: list[bytes], workers: int = 2) -> float:
    """Return the longest time in ms that the event loop was held up while `workers` threads do `jobs`."""
    longest = 0.0
    done = threading.Event()

    async def heartbeat() -> None:
        nonlocal longest
        while not done.is_set():
            started = time.perf_counter()
            await anyio.sleep(0.001)
            longest = max(longest, time.perf_counter() - started - 0.001)

    async with anyio.create_task_group() as group:
        group.start_soon(heartbeat)
        limiter = anyio.CapacityLimiter(workers)
        async with anyio.create_task_group() as crew:
            for job in jobs:
                crew.start_soon(lambda job=job: anyio.to_thread.run_sync(work, job, limiter=limiter))  # type: ignore[misc] # likewise
        done.set()
    return longest * 1000


async def isolation(files: list[bytes]) -> dict[str, float]:
    """Measure the CPU time of preparing all `files` in a process, over that in a thread.

    Returns it for all pictures, for those that are encoded, for all if only those that are not plain JPEG, PNG, GIF or
    BMP have a process; and the milliseconds that a picture takes longer which passes unchanged.
    """
    table: list[tuple[float, float, bool, bool]] = []
    settings, budget = Settings(rules=RULES, timeout=60), Budget(10**9)
    async with DecoderPool(settings, 1, budget) as pool, DecoderThreads(RULES, 1, budget) as threads:
        for data in files:
            passes = (await pool.fit(data)).action == "passed"
            times: list[tuple[float, float]] = []
            for _ in range(ROUNDS):
                before = [time.process_time(), child_cpu(pool)]
                await threads.fit(data)
                between = time.process_time()
                await pool.fit(data)
                times.append((between - before[0], time.process_time() - between + child_cpu(pool) - before[1]))
            thread, process = map(statistics.median, zip(*times, strict=True))
            table.append((thread, process, passes, data.startswith((b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM"))))
    whole = sum(thread for thread, *_ in table)
    encoded = [row for row in table if not row[2]]
    return {
        "isolating all, x CPU": sum(row[1] for row in table) / whole,
        "isolating all, x CPU of those encoded": sum(row[1] for row in encoded) / sum(row[0] for row in encoded),
        "isolating what is not plain, x CPU": sum(row[0] if row[3] else row[1] for row in table) / whole,
        "isolating, ms more for those that pass": 1000 * statistics.fmean(row[1] - row[0] for row in table if row[2]),
    }


def child_cpu(pool: DecoderPool) -> float:
    """Return the CPU seconds of a pool's only process, by the clock that Linux keeps for each (clock_getcpuclockid)."""
    pid = pool._pool._idle[0]._popen.pid
    return time.clock_gettime((~pid << 3) | 2)


def busy(data: bytes) -> None:
    """Keep a core busy without the GIL for as long as a picture takes: what the machine itself holds the loop up."""
    import hashlib

    hashlib.pbkdf2_hmac("sha256", data[:16], b"salt", 100_000)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the bar."""

    what: str
    value: float
    wanted: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        return self.value >= self.wanted if self.at_least else self.value <= self.wanted

    def line(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{self.what:<52} {self.value:8.3f}  {sign} {self.wanted:<6g} {'met' if self.met else 'MISSED'}"


def bar(table: dict[str, dict[str, float]], groups: dict[str, list[str]], more: dict[str, float]) -> list[Check]:
    """Hold the measurements against what preparation is meant to reach."""
    large, jpegs = groups["baseline JPEG >= 9 MP"], groups["all JPEG"]
    checks = [
        Check(what="baseline JPEG >= 9 MP: x naive q95", value=ratio(table, large, "naive q95"), wanted=3.5),
        Check(what="baseline JPEG >= 9 MP: x pyvips", value=ratio(table, large, "pyvips"), wanted=1.05),
        Check(what="all JPEG: x naive q95", value=ratio(table, jpegs, "naive q95"), wanted=2.0),
        Check(what="all JPEG: x pyvips", value=ratio(table, jpegs, "pyvips"), wanted=0.9),
        Check(what="all JPEG: CPU time / floor", value=1 / ratio(table, jpegs, "floor"), wanted=1.7, at_least=False),
        Check(
            what="other formats: x naive q95",
            value=ratio(table, groups["other formats"], "naive q95"),
            wanted=1.1,
        ),
        Check(what="SSIM in RGB, ours / naive q95", value=more["SSIM RGB ours"] / more["SSIM RGB naive q95"], wanted=1),
        Check(what="encodes of a file over budget", value=more["encodes"], wanted=3.5, at_least=False),
        Check(what="two workers / one", value=more["two workers"], wanted=1.75),
        Check(what="loop stall on JPEG, ms", value=more["stall ms"], wanted=10, at_least=False),
        Check(what="isolating all pictures: x CPU", value=more["isolating all, x CPU"], wanted=1.05, at_least=False),
        Check(what="largest memory of a fresh process, MB", value=more["rss MB"], wanted=350, at_least=False),
    ]
    return [check for check in checks if not math.isnan(check.value)]


def largest_memory(folder: Path) -> float:
    """Fit every file of `folder`, and of `hostile` beside it, in a fresh process; return its peak RSS in MB."""
    code = (
        "import sys, pathlib\n"
        "from pipeline.errors import PrepareError\n"
        "from pipeline.prepare.fit import fit\n"
        "from pipeline.prepare.fit_rules import FitRules\n"
        "for folder in sys.argv[1:]:\n"
        "    for path in sorted(pathlib.Path(folder).glob('*')):\n"
        "        try:\n"
        f"            fit(path.read_bytes(), FitRules(max_bytes={BYTES}, max_side_px={SIDE}))\n"
        "        except PrepareError:\n"
        "            pass\n"
        "print(next(int(line.split()[1]) / 1000 for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )
    command = [sys.executable, "-c", code, str(folder), str(folder.parent / "hostile")]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def measure(folder: Path) -> dict[str, object]:
    files = list(pictures(folder))
    table = {}
    for picture in files:
        table[picture.name] = speeds(picture)
        shown = "  ".join(f"{name} {1000 * value:7.1f}" for name, value in table[picture.name].items())
        print(f"{picture.name:<34} {picture.megapixels:5.1f} MP   {shown}  CPU ms", flush=True)
    groups = {name: [p.name for p in files if belongs(p)] for name, belongs in GROUPS.items()}
    print(f"\n{'times as fast as':<34} " + "".join(f"{name:>11}" for name in METHODS if name != "ours"))
    for group, names in groups.items():
        ratios = "".join(f"{ratio(table, names, other):11.2f}" for other in METHODS if other != "ours")
        print(f"{f'{group} ({len(names)})':<34} {ratios}")
    more = others(folder, files)
    checks = bar(table, groups, more)
    print("", *(check.line() for check in checks), sep="\n")
    verdicts = [{"what": c.what, "value": c.value, "wanted": c.wanted, "met": c.met} for c in checks]
    return {"cpu_seconds": table, "groups": groups, "more": more, "bar": verdicts}


def others(folder: Path, files: list[Picture]) -> dict[str, float]:
    """Measure what is not speed of a single picture."""
    comparable = [p for p in files if p.jpeg and p.plain and min(p.megapixels, p.side / SIDE) > 1]
    more = {
        f"SSIM {mode} {method}": statistics.fmean(sharpness(picture, method, mode) for picture in comparable)
        for mode in ("RGB", "L")
        for method in ("ours", "naive q95", "pyvips")
    }
    more |= search_cost([p for p in files if p.jpeg and p.plain and p.megapixels > 1 and p.side < 20_000])
    large = [p for p in files if GROUPS["baseline JPEG >= 9 MP"](p)]
    as_it_comes("ours")
    with responsive_loop():
        more["two workers"] = two_workers(large)
    more["rss MB"] = largest_memory(folder)
    more |= anyio.run(isolation, [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()])
    with responsive_loop():
        for name, work in (("stall ms", ours), ("stall of the machine ms", busy)):
            more[name] = min(anyio.run(stall, work, [p.data for p in files if p.jpeg]) for _ in range(3))
        more["stall, all formats ms"] = min(anyio.run(stall, ours, [p.data for p in files]) for _ in range(3))
    print("", *(f"{name:<34} {value:10.4f}" for name, value in more.items()), sep="\n")
    return more


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/photos/good")
    if not folder.is_dir():
        sys.exit(f"{folder} is no folder; give one with pictures: python tests/benchmarks/prepare.py FOLDER")
    Image.MAX_IMAGE_PIXELS = None
    result = measure(folder)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    print(f"\nwritten: {OUT}")


if __name__ == "__main__":
    main()
