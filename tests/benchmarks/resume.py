"""How long a run takes that finds (nearly) everything done: `make bench-resume`, or python -m tests.benchmarks.resume.

A new job: how soon its first call arrives, and its memory (the peak over a whole manifest is that of the other lines).
(a) Every row is done: tokens, of which nothing but the manifest is looked at, and local pictures, whose sizes and times
are compared. (b) An interrupted run goes on: how soon the first new row's call arrives. (c) The second night over
10,000 local pictures. And the worst that can happen to a manifest: every line has moved. Each is the whole command in a
process of its own, against the embedded service; the ledger is filled as a run would fill it, without the calls.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import orjson

from pipeline.local.backend import make_provider
from pipeline.manifest import open_manifest
from pipeline.resume.changes import PendingRow
from pipeline.resume.open_checkpoints import OpenCheckpoints
from pipeline.resume.pending import iter_manifest_changes
from pipeline.runner.policies import make_detector
from pipeline.sink.job_files import open_job
from pipeline.sink.sink import Finished, write_batch
from pipeline.state.ledger import LedgerEntry, State
from tests.running import KEY, KEY_ENV, Service, draw, load, running_service, write_config

ROWS = 1_000_000
PICTURES = 10_000
Line = Callable[[int], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one command took: wall and CPU seconds, peak memory; `asked_after` is when its first call arrived."""

    what: str
    rows: int
    exit_code: int
    wall_seconds: float
    cpu_seconds: float
    peak_mb: float
    calls: int
    asked_after: float | None

    def text(self) -> str:
        """Return the figures as one line of the table."""
        asked = "" if self.asked_after is None else f", first call after {self.asked_after:.2f} s"
        return (
            f"{self.what:<34} {self.rows:>10,} rows  {self.wall_seconds:6.2f} s wall  {self.cpu_seconds:6.2f} s CPU  "
            f"{self.peak_mb:4.0f} MB  {self.calls} calls{asked}, exit {self.exit_code}"
        )


def token(number: int) -> str:
    """Return a line with a picture that the service knows."""
    return f"row-{number},token:t{number}\n"


def picture(number: int) -> str:
    """Return a line with a local picture."""
    return f"row-{number},{number % PICTURES // 100}/{number % PICTURES}.jpg\n"


def write_rows(path: Path, count: int, line: Line, extra: str = "") -> None:
    """Write a manifest of so many lines."""
    with path.open("w", encoding="utf-8") as file:
        file.write("id,image\n")
        file.writelines(line(number) for number in range(count))
        file.write(extra)


def fill(path: Path) -> None:
    """Give every row of the manifest its line, as finished runs of the config at `path` would have."""
    config = load(path)
    provider = make_provider(config)
    open_checkpoints = OpenCheckpoints()
    with open_job(Path(config.output.dir)) as job, open_manifest(config.manifest) as manifest:
        for changes in iter_manifest_changes(manifest, make_detector(config, provider, job.state.known_rows)):
            if changes.open_checkpoint is not None:
                open_checkpoints.begin(changes.open_checkpoint)
            rows = [_finished(pending_row) for pending_row in changes.pending_rows]
            write_batch(job, rows, open_checkpoints.finish([row.entry for row in rows]))


def _finished(pending_row: PendingRow) -> Finished:
    entry = LedgerEntry(
        row_key=pending_row.row_key,
        state=State.DONE,
        content_key=pending_row.content_key,
        line=pending_row.item.line,
        checkpoint=pending_row.checkpoint,
        file_stamp=pending_row.file_stamp,
        asked_at=time.time(),
        fingerprints=bytes(32),
    )
    return Finished(entry=entry, line=b"{}\n")


def measure(what: str, rows: int, config: Path, service: Service, *options: str) -> Figures:
    """Run the command and return what it took."""
    before = len(service.seen()) if service.journal.exists() else 0
    environment = {**os.environ, KEY_ENV: KEY, "XDG_STATE_HOME": str(config.parent / "state")}
    command = [sys.executable, "-m", "pipeline", "run", str(config), "--quiet", *options]
    begun = time.time()
    process = os.posix_spawn(sys.executable, command, environment)
    _, status, usage = os.wait4(process, 0)
    wall = time.time() - begun
    calls = service.seen()[before:] if service.journal.exists() else []
    figures = Figures(
        what=what,
        rows=rows,
        exit_code=os.waitstatus_to_exitcode(status),
        wall_seconds=wall,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / 1000,
        calls=len(calls),
        asked_after=calls[0]["at"] - begun if calls else None,
    )
    print(figures.text(), flush=True)
    return figures


def over(folder: Path, service: Service, what: str, count: int, line: Line) -> list[Figures]:
    """Measure a job whose rows are all done, then with a new line below them, then with one above them."""
    folder.mkdir()
    manifest = folder / "manifest.csv"
    root = str(folder.parent / "pictures")
    config = write_config(folder / "job.toml", manifest, service.endpoint, manifest={"root": root})
    write_rows(manifest, count, line)
    new = []
    if line is token:
        new = [measure(f"{what}, a new job", count, config, service, "--limit", "20") for _ in range(3)]
    with get_context("spawn").Pool(1) as apart:  # a child's peak memory counts from its parent's size
        apart.apply(fill, (config,))
    done = [*new, measure(f"{what}, all done", count, config, service)]
    if line is token:
        write_rows(manifest, count, line, "new,token:new\n")
        done.append(measure(f"{what}, interrupted", count + 1, config, service))
        write_rows(manifest, count, lambda number: ("\n" if number == 0 else "") + line(number), "new,token:new\n")
        done.append(measure(f"{what}, every line moved", count + 1, config, service))
    return done


def main(count: int) -> None:
    """Print the table and write out/bench/resume.json."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "indexed" / "p.png", 1)
        for number in range(PICTURES):
            path = folder / "pictures" / str(number // 100) / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\xff\xd8\xff" + bytes(number % 100))
        with running_service(folder / "service", folder / "indexed") as service:
            figures = over(folder / "a", service, "tokens", count, token)
            figures += over(folder / "b", service, "local pictures", count, picture)
            figures += over(folder / "c", service, "second night", PICTURES, picture)
    out = Path("out/bench")
    out.mkdir(parents=True, exist_ok=True)
    (out / "resume.json").write_bytes(orjson.dumps([asdict(found) for found in figures], option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
