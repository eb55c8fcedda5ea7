"""How fast a manifest is read, and in how much memory: python tests/benchmarks/manifest.py [LINES].

Prints rows per CPU second and the growth of the process's peak memory, each measured in a process of its own, and
what the floor is: the csv module alone, and the csv module with one Row and one lstat for each line.
"""

from __future__ import annotations

import csv
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import get_context
from pathlib import Path

import orjson

from pipeline.config import ManifestConfig
from pipeline.manifest import open_manifest
from pipeline.records import LocalFile, Row

LINES = 1_000_000


def _write(folder: Path, lines: int) -> None:
    """Write the same catalogue as paths and as URLs, as csv and as JSON lines."""
    (folder / "img").mkdir()
    for number in range(1_000):
        (folder / f"img/{number}.jpg").touch()
    with (
        (folder / "paths.csv").open("w") as paths,
        (folder / "urls.csv").open("w") as urls,
        (folder / "paths.jsonl").open("wb") as objects,
    ):
        paths.write("id,image,title\n")
        urls.write("id,image,title\n")
        for number in range(lines):
            image = f"img/{number % 1_000}.jpg"
            paths.write(f"sku-{number},{image},Title {number}\n")
            urls.write(f"sku-{number},https://example.org/{number}.jpg,Title {number}\n")
            objects.write(orjson.dumps({"id": f"sku-{number}", "image": image, "title": f"Title {number}"}) + b"\n")


def _manifest(path: Path) -> Iterator[object]:
    with open_manifest(ManifestConfig(path=str(path), carry=("title",))) as manifest:
        yield from manifest.rows()


def _csv_alone(path: Path) -> Iterator[object]:
    with path.open(newline="") as file:
        yield from csv.reader(file)


def _floor(path: Path) -> Iterator[object]:
    """Make each line a Row as cheaply as its contract allows, without a single check."""
    folder = path.parent
    with path.open(newline="") as file:
        for line, (row_id, image, title) in enumerate(csv.reader(file)):
            os.lstat(f"{folder}/{image}") if line else None
            file_of_row = LocalFile(path=f"{folder}/{image}", name=image)
            yield Row(id=row_id, image=file_of_row, ordinal=line, line=line + 1, carry={"title": title})


def _measure(read: Callable[[Path], Iterable[object]], path: Path) -> tuple[int, float, int]:
    """Return rows, CPU seconds, and by how many KiB the peak memory grew."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    rows = sum(1 for _ in read(path))
    return rows, time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def main() -> None:
    """Measure every reading of one catalogue."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else LINES
    readings = [
        ("csv module alone", _csv_alone, "paths.csv"),
        ("floor", _floor, "paths.csv"),
        ("csv of paths", _manifest, "paths.csv"),
        ("csv of URLs", _manifest, "urls.csv"),
        ("JSON lines of paths", _manifest, "paths.jsonl"),
    ]
    with tempfile.TemporaryDirectory() as name:
        _write(Path(name), lines)
        for title, read, file in readings:
            with get_context("spawn").Pool(1) as process:
                rows, seconds, grown = process.apply(_measure, (read, Path(name, file)))
            print(f"{title:20} {rows:>9,} rows {rows / seconds:>10,.0f} rows/s  +{grown / 1024:.1f} MiB")


if __name__ == "__main__":
    main()
