"""What the page of a made catalogue costs: time, memory and bytes to write it, then how fast a browser shows it.

Run it with: python -m tests.benchmarks.report [ROWS]
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.report.page.write import REPORT_FILE
from tests.report.jobs import make_failure, make_record, rectangle, write_job
from tests.service.http.browsing import Browser, browsing

WORDS = [
    first + second for first in "bcdfghjklmnprstvw" for second in ("amel", "orin", "ustel", "ivar", "enok", "alto")
]
WRITE = (
    "import resource, sys, time; from pathlib import Path; from pipeline import load_config\n"
    "from pipeline.report.page.write import write_page\n"
    "config = load_config(sys.argv[1]); started = time.perf_counter(); write_page(config, Path(config.output.dir))\n"
    "print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
)


def made_lines(rows: int) -> Iterator[dict[str, Any]]:
    """Yield records, and one failure in a hundred rows."""
    rng = random.Random(1)
    for number in range(rows):
        yield make_failure(number) if number % 100 == 99 else crowded_record(number, rng)


def crowded_record(number: int, rng: random.Random) -> dict[str, Any]:
    """Return a record with four tags, two lines of text, an offer, pages and look-alikes."""
    words = rng.choices(WORDS, k=20)
    corner = rng.random() / 2
    box = rectangle(corner, corner, 0.9, 0.9)
    page = {"name": " ".join(words[:4]), "host_page_url": f"https://{words[0]}.example.com/{number}", "origin": "web"}
    lines = [{"text": " ".join(words[start : start + 6]), "box": box, "words": []} for start in (4, 10)]
    return make_record(
        number,
        asked_at=f"2026-11-30T0{number % 6}:{number % 60:02}:00Z",
        carry={"title": " ".join(words[:4]), "category": words[0][:4]},
        tags=[{"name": word, "box": box, "confidence": rng.random(), "actions": []} for word in words[16:]],
        text={"full": " ".join(words[4:16]), "regions": [{"lines": lines}], "sources": []},
        pages=[page, page],
        offers=[{"price": round(5 + 95 * rng.random(), 2), "currency": "EUR", "url": page["host_page_url"]}],
        similar_images={"items": [page] * 8},
    )


def show(name: str, value: float, unit: str) -> None:
    """Print one figure."""
    print(f"{name:<44} {value:10.1f} {unit}")


def measure_browser(browser: Browser, page: Path) -> None:
    """Open the page and filter it; times are those of the page's own clock."""
    browser.resize(width=1280)
    browser.open(page.as_uri())
    browser.wait(lambda: browser.run("return document.documentElement.dataset.loaded"), "not loaded")
    entries = "return performance.getEntriesByName(arguments[0])[0]?.startTime ?? NaN"
    show("first rows painted", browser.run(entries, "first-rows"), "ms")
    show("all rows read", browser.run(entries, "all-rows"), "ms")
    for query in ("belto", "status:failed", "tag=bamel price>50", "category=cori -norin", ""):
        script = """
            const box = document.getElementById("query"), started = performance.now();
            box.value = arguments[0];
            box.form.dispatchEvent(new Event("submit", { cancelable: true }));
            return [performance.now() - started, document.getElementById("count").textContent];
        """
        times = [browser.run(script, query) for _ in range(5)]
        show(f"filter {query!r} ({times[-1][1]})", sorted(ms for ms, _ in times)[2], "ms")
        time.sleep(0.3)
    show("elements in the document", browser.run("return document.querySelectorAll('*').length"), "")


def main() -> None:
    """Make the catalogue, write its page, open it."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = write_job(folder, made_lines(rows))
        command = [sys.executable, "-c", WRITE, str(config)]
        out = subprocess.run(command, check=True, capture_output=True, env=os.environ)
        seconds, megabytes = map(float, out.stdout.split())
        page = folder / "out" / REPORT_FILE
        show(f"write the page of {rows:,} rows", seconds, "s")
        show("memory for that, at most", megabytes, "MB")
        show("the page", page.stat().st_size / 1e6, "MB")
        with browsing(folder / "profile") as browser:
            measure_browser(browser, page)


if __name__ == "__main__":
    main()
