"""How long a run takes that finds (nearly) everything done: `make bench-resume`, or resume.py ROWS.

Fills a ledger with finished rows, then runs the command over the manifest with nothing new, and with one new row at the
end, and prints the wall time, the peak memory, and how long the new row's call took to arrive. Rows are tokens, so that
the figures are those of manifest, probe and ledger.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import orjson

from pipeline.job import make_probe
from pipeline.manifest import open_manifest
from pipeline.providers import PROVIDERS
from pipeline.sink.ledger import Entry, Ledger, State, chunks
from tests.running import KEY, KEY_ENV, draw, load, running_service, write_config

BATCH_ROWS = 5_000


def write_rows(path: Path, count: int, extra: str = "") -> None:
    """Write a manifest of `count` tokens."""
    with path.open("w", encoding="utf-8") as file:
        file.write("id,image\n")
        file.writelines(f"row-{number},token:t{number}\n" for number in range(count))
        file.write(extra)


def fill(config_path: Path) -> None:
    """Mark every row of the manifest as done, as finished runs would have."""
    config = load(config_path)
    folder = Path(config.output.dir)
    folder.mkdir(parents=True, exist_ok=True)
    provider = PROVIDERS[config.provider.name].make(config.provider)
    with closing(Ledger(folder / "state.db")) as ledger, open_manifest(config.manifest) as manifest:
        probe = make_probe(config, provider, ledger)
        for batch in chunks(manifest.rows(), BATCH_ROWS):
            entries = [
                Entry(key=todo.key, state=State.DONE, digest=todo.digest, asked_at=time.time(), prints=bytes(32))
                for todo in probe.sift(batch).todo
            ]
            ledger.mark(entries, {})


def measure(config: Path) -> tuple[int, float, float]:
    """Run the command; return its exit code, wall time in seconds and peak memory in MB."""
    started = time.perf_counter()
    environment = {**os.environ, KEY_ENV: KEY, "XDG_STATE_HOME": str(config.parent / "state")}
    command = [sys.executable, "-m", "pipeline", "run", str(config), "--quiet"]
    process = os.posix_spawn(sys.executable, command, environment)
    _, status, usage = os.wait4(process, 0)
    return os.waitstatus_to_exitcode(status), time.perf_counter() - started, usage.ru_maxrss / 1000


def main(count: int) -> None:
    """Print the table and write out/bench/resume.json."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "pictures" / "p.png", 1)
        with running_service(folder / "service", folder / "pictures") as service:
            manifest = folder / "manifest.csv"
            config = write_config(folder / "job.toml", manifest, service.endpoint)
            write_rows(manifest, count)
            fill(config)
            code, wall, memory = measure(config)
            write_rows(manifest, count, "new,token:new\n")
            begun = time.time()
            measure(config)
            arrived = service.seen()[0]["at"] - begun
    figures = {"rows": count, "exit_code": code, "seconds": wall, "peak_mb": memory, "new_row_asked_after": arrived}
    print(f"{count:,} rows, all done: {wall:.1f} s, peak {memory:.0f} MB, exit {code}")
    print(f"one new row at the end: its call arrives after {arrived:.1f} s")
    out = Path("out/bench")
    out.mkdir(parents=True, exist_ok=True)
    (out / "resume.json").write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
