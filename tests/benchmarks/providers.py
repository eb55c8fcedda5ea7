"""What a live provider costs: `make bench-providers`, or python -m tests.benchmarks.providers [ROWS].

One call: CPU time from a picture of 300 KB to its JSON and fingerprint, and from the answer to its line. A job: how
many calls a minute go to the fake of Cloud Vision, with 32 in flight and the fake in a process of its own; the peak of
memory; and the longest callback on the event loop. Its CPU time is that of its thread; its wall time includes what
other processes and threads took meanwhile.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import orjson
from PIL import Image

from pipeline.records import Answer, LocalFile, Prepared, Reading, Request, Row, SourceFacts
from pipeline.sink.output_lines import build_record, encode
from tests.providers.google.conftest import KEY_ENV, google
from tests.providers.google.fake_vision import KEY
from tests.providers.google.vision_answers import annotate
from tests.running import write_config, write_manifest

FEATURES = ("labels", "text", "web")
SIDES = (1000, 750)
IN_FLIGHT = 32
ROWS = 900
CALLS = 300
TYPES = {"LABEL_DETECTION": 10, "TEXT_DETECTION": 0, "WEB_DETECTION": 10}
RUN = """
import asyncio.events, resource, sys, time
import anyio
from pipeline import load_config, run

longest = {"cpu": 0.0, "wall": 0.0}
run_callback = asyncio.events.Handle._run

def timed(handle):
    cpu, wall = time.thread_time(), time.perf_counter()
    run_callback(handle)
    longest["cpu"] = max(longest["cpu"], time.thread_time() - cpu)
    longest["wall"] = max(longest["wall"], time.perf_counter() - wall)

async def measure():
    config = load_config(sys.argv[1])
    asyncio.events.Handle._run = timed
    started = time.perf_counter()
    await run(config)
    return time.perf_counter() - started

seconds = anyio.run(measure)
used = resource.getrusage(resource.RUSAGE_SELF)
print(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, 1e3 * longest["cpu"], 1e3 * longest["wall"])
"""


def picture(number: int) -> bytes:
    """Return a JPEG of about 300 KB, another one for each number."""
    width, height = SIDES
    noise = Image.frombytes("L", (width // 2, height // 2), random.Random(number).randbytes(width * height // 4))
    out = BytesIO()
    noise.resize(SIDES).convert("RGB").save(out, "JPEG", quality=79)
    return out.getvalue()


def show(name: str, value: float, unit: str) -> None:
    """Print one figure."""
    print(f"{name:<52} {value:10.2f} {unit}")


def measure_calls() -> None:
    """Show the CPU time of one call: request, fingerprint, reading, record and line."""
    provider, data = google(features=list(FEATURES)), picture(0)
    width, height = SIDES
    source = SourceFacts(sha256="0" * 64, width=width, height=height, bytes=len(data), format="JPEG")
    sent = Prepared(
        source=source, data=data, action="passed", width=width, height=height, format="JPEG", media_type="image/jpeg"
    )
    row = Row(id="r", ordinal=0, line=1, image=LocalFile(path="r.jpg", name="r.jpg"))
    body = orjson.dumps({"responses": [annotate(data, TYPES, {})]})
    answer = Answer(status=200, headers={}, body=body, asked_at=1_800_000_000.0)
    started = time.process_time()
    for _ in range(CALLS):
        (request,) = provider.requests(row, sent)
        assert isinstance(request, Request)
        request.fingerprint("bench")
        outcome = provider.read(request, answer)
        assert isinstance(outcome, Reading)
        encode(build_record(provider, row, sent, [(request, answer)], outcome.insights))
    show(f"one call of {len(data) / 1000:.0f} KB", 1e3 * (time.process_time() - started) / CALLS, "ms CPU")


@contextmanager
def fake_vision() -> Iterator[str]:
    """Start the fake in a process of its own; yield its address."""
    command = [sys.executable, "-m", "tests.providers.google.fake_vision", "--port", "0", "--per-minute", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield orjson.loads(process.stdout.readline())["endpoint"]
        process.kill()


def measure_job(rows: int) -> None:
    """Run a job of this many different pictures, and show its figures."""
    with tempfile.TemporaryDirectory() as name, fake_vision() as endpoint:
        folder = Path(name)
        for number in range(rows):
            (folder / f"p{number}.jpg").write_bytes(picture(number))
        manifest = write_manifest(folder / "m.csv", [{"id": f"r{n}", "image": f"p{n}.jpg"} for n in range(rows)])
        provider = {"name": "google", "key_env": KEY_ENV, "features": list(FEATURES)}
        limits = {"concurrency": IN_FLIGHT, "qps": 0}
        config = write_config(folder / "job.toml", manifest, endpoint, provider=provider, limits=limits)
        environment = {**os.environ, KEY_ENV: KEY, "XDG_STATE_HOME": str(folder / "state")}
        out = subprocess.run(
            [sys.executable, "-c", RUN, str(config)], check=True, capture_output=True, env=environment
        ).stdout
        seconds, cpu, megabytes, longest_cpu, longest_wall = map(float, out.split())
        written = len((folder / "out" / "insights.jsonl").read_bytes().splitlines())
        assert written == rows, f"{written} records of {rows} rows"
    show(f"calls a minute, {IN_FLIGHT} in flight", 60 * rows / seconds, "")
    show("the run's CPU time a call, with prepare and sink", 1e3 * cpu / rows, "ms")
    show("memory of the run at most", megabytes, "MB")
    show("longest callback on the event loop", longest_cpu, "ms CPU")
    show("the same", longest_wall, "ms wall")
    show("load of the machine in the last minute", os.getloadavg()[0], "")


def main() -> None:
    """Measure one call, then a job."""
    measure_calls()
    measure_job(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)


if __name__ == "__main__":
    main()
