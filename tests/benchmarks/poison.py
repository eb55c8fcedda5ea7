"""What twenty poison pictures cost a catalogue of a thousand: python -m tests.benchmarks.poison [PICTURES].

The job runs twice with the provider `local`, so that the run prepares the pictures and the service indexes them: once
over good pictures only, and once with a decoder that hangs, crashes or takes memory at some of them.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.poison import COMPUTE, CRASH, HANG, TAKE_MEMORY, acting, acting_decoder, huge_header, many_scans
from tests.running import lines_of, write_config
from tests.service.engine.drawing import draw, encode

PICTURES, MOST_TIMES = 1000, 2.0
SIZE, MAX_SIDE_PX = (1000, 800), 600  # so that the run decodes every picture
# Each with the code of its failure.
POISON: tuple[tuple[str, bytes, str], ...] = (
    *((f"scans{number}.jpg", many_scans(number), "too-many-scans") for number in range(8)),
    *((f"crash{number}.png", acting(number, CRASH, SIZE), "decoder-died") for number in range(5)),
    *((f"memory{number}.png", acting(number, TAKE_MEMORY, SIZE), "too-much-memory") for number in range(3)),
    *((f"huge{number}.gif", huge_header(number), "too-many-pixels") for number in range(2)),
    ("hangs.png", acting(1, HANG, SIZE), "too-slow"),
    ("computes.png", acting(2, COMPUTE, SIZE), "too-slow"),
)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one job took, and what became of its rows."""

    seconds: float
    exit_code: int
    records: int
    failures: dict[str, str]


def main() -> int:
    """Run both jobs and print what they took; return 1 if a poison picture costs more than its own row."""
    pictures = int(sys.argv[1]) if len(sys.argv) > 1 else PICTURES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good = {f"{number:04}.jpg": encode(draw(number, SIZE), quality=90) for number in range(pictures)}
        clean = _run_job(folder / "clean", good)
        mixed, codes = _poison(good)
        poisoned = _run_job(folder / "poisoned", mixed)
    times = poisoned.seconds / clean.seconds
    holds = {
        "clean: exit 0, a record for each picture": (clean.exit_code, clean.records) == (0, pictures),
        "poisoned: exit 1": poisoned.exit_code == 1,
        "poisoned: a record for each good picture": poisoned.records == pictures - len(POISON),
        "poisoned: a failure by name for each other": poisoned.failures == codes,
        f"poisoned: at most {MOST_TIMES:g} times as long": times <= MOST_TIMES,
    }
    print(f"clean     {clean.seconds:6.1f} s  {clean.records} records")
    print(f"poisoned  {poisoned.seconds:6.1f} s  {poisoned.records} records, {times:.2f} times as long")
    print("failures ", dict(Counter(poisoned.failures.values())))
    for what, is_so in holds.items():
        print("ok " if is_so else "NO ", what)
    return int(not all(holds.values()))


def _poison(good: dict[str, bytes]) -> tuple[dict[str, bytes], dict[str, str]]:
    """Put poison in the place of some pictures, by chance; return all pictures, and the codes of the poison."""
    mixed, codes = dict(good), {}
    places = random.Random(1).sample(sorted(good), len(POISON))
    for (name, data, code), replaced in zip(POISON, places, strict=True):
        del mixed[replaced]
        mixed[f"{replaced[:4]}-{name}"], codes[f"{replaced[:4]}-{name}"] = data, code
    return mixed, codes


def _run_job(folder: Path, pictures: dict[str, bytes]) -> Figures:
    """Run a job over pictures as a process of its own."""
    source = folder / "pictures"
    source.mkdir(parents=True)
    for name, data in pictures.items():
        (source / name).write_bytes(data)
    local = {"name": "local", "endpoint": "", "key_env": "", "text": False}
    prepare = {"max_side_px": MAX_SIDE_PX}
    output = {"max_failed": len(POISON)}
    config = write_config(folder / "job.toml", source, "", provider=local, prepare=prepare, output=output)
    with acting_decoder(folder):
        started = time.monotonic()
        code = subprocess.call([sys.executable, "-m", "pipeline", "run", str(config), "--quiet"])
        seconds = time.monotonic() - started
    failures = {failure["image"]: failure["code"] for failure in lines_of(folder / "out" / "failures.jsonl")}
    records = len(lines_of(folder / "out" / "insights.jsonl"))
    return Figures(seconds=seconds, exit_code=code, records=records, failures=failures)


if __name__ == "__main__":
    raise SystemExit(main())
