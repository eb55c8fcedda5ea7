"""Measures text recognition: errors by kind of picture and by change to it, answers a second over HTTP.

python -m tests.benchmarks.text [OUT.json]

Prints tables and the bar's lines; adds both, as "text", to what the engine's benchmark has written.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import anyio
from aiohttp import ClientSession, FormData, web
from PIL import Image

from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.engine import open_engine
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.findings import CatalogueConfig
from pipeline.service.http.app import AppConfig, build_app
from pipeline.service.text.ocr import recognise_text
from tests.sheets import CARDS, CHANGES, LABELS, SIGNS, edits, png

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "data" / "catalogue.csv"
SHEETS = {"cards": CARDS, "signs": SIGNS, "labels": LABELS}
# The most wrong characters of all.
BARS = {"clean": 0.03, "rotated -8": 0.10, "rotated 90": 0.10}
LEAST_ANSWERS = {"with text": 3.0, "without text": 40.0}
Tables = dict[str, dict[str, float]]


def main(out: Path) -> None:
    """Measure, print and write everything."""
    tables: Tables = {
        "error_rate": error_rates(),
        "with text": anyio.run(throughput, True),
        "without text": anyio.run(throughput, False),
    }
    lines = list(bar(tables))
    for line, met in lines:
        print(f"{'met   ' if met else 'MISSED'} {line}")
    found = json.loads(out.read_bytes()) if out.exists() else {}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({**found, "text": {**tables, "bar": dict(lines)}}, indent=1), encoding="utf-8")


def bar(tables: Tables) -> Iterator[tuple[str, bool]]:
    """Yield each line of the bar, and whether it is met."""
    for change, most in BARS.items():
        rate = tables["error_rate"][change]
        yield f"text {change}: {rate:.4f} of the characters wrong, at most {most:.2f}", rate <= most
    for name, least in LEAST_ANSWERS.items():
        rate = tables[name]["answers_per_second"]
        yield f"{name}: {rate:.1f} answers/s on {os.cpu_count()} cores, at least {least:g}", rate >= least


def error_rates() -> dict[str, float]:
    """Print and return the share of wrong characters by change, and the CPU time of a picture."""
    wrong: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    begun, count = time.process_time(), 0
    for kind, sheets in SHEETS.items():
        for sheet in sheets:
            for change, work in CHANGES.items():
                found = recognise_text(png(work(sheet.draw())), WHOLE)
                cell = wrong[change, kind]
                cell[0] += edits(found.full if found else "", sheet.text)
                cell[1] += len(sheet.text)
                count += 1
    print("Text: wrong characters" + "".join(f"{kind:>10}" for kind in SHEETS) + "       all")
    rates = {}
    for change in CHANGES:
        cells = [wrong[change, kind] for kind in SHEETS]
        rates[change] = sum(cell[0] for cell in cells) / sum(cell[1] for cell in cells)
        print(f"{change:<22}" + "".join(f"{w / n:10.4f}" for w, n in cells) + f"{rates[change]:10.4f}")
    print(f"{(time.process_time() - begun) / count:.2f} s CPU a picture")
    return rates


async def throughput(text: bool) -> dict[str, float]:
    """Print and return the answers a second, with all cores asking at once; no picture comes twice."""
    pictures = [png(sheet.draw()) for sheets in SHEETS.values() for sheet in sheets]
    pictures += [path.read_bytes() for path in sorted((SAMPLE.parent / "images").iterdir())[:40]]
    with tempfile.TemporaryDirectory() as name, Decoders(os.cpu_count() or 1) as decoders:
        engine = open_engine(CatalogueConfig(path=SAMPLE), Path(name), decoders)
        runner = web.AppRunner(build_app(engine, AppConfig(text=text)))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/v7.0/images/visualsearch"
        async with ClientSession() as session:
            for warm_up in range(os.cpu_count() or 1):
                await ask(session, url, png(Image.new("RGB", (40 + warm_up, 40))))
            begun = time.perf_counter()
            async with anyio.create_task_group() as tasks:
                for picture in pictures:
                    tasks.start_soon(ask, session, url, picture)
            rate = len(pictures) / (time.perf_counter() - begun)
        await runner.cleanup()
    print(f"{rate:.1f} answers/s {'with' if text else 'without'} text on {os.cpu_count()} cores")
    return {"answers_per_second": rate, "load_after": os.getloadavg()[0]}


async def ask(session: ClientSession, url: str, picture: bytes) -> None:
    """Ask about one picture."""
    form = FormData()
    form.add_field("image", picture, filename="image", content_type="image/png")
    async with session.post(url, data=form) as response:
        response.raise_for_status()
        await response.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "out" / "bench" / "engine.json")
