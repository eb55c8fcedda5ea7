"""`make bench-fetch`: fetch beside its peers, against the same strict service, in one run.

Prints a table and the bar's lines; writes every run to out/bench/fetch.json. `--runs N` (3), `--only WORD` picks
scenarios whose name holds the word.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "out" / "bench" / "fetch.json"
PEERS = ("ours", "handwritten", "scrapy")
JITTER = 0.005
Results = dict[str, dict[str, list[dict[str, float]]]]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A service, who asks it (`processes` of each at once), and for how many rows.

    `together`: so slow that the clients, each with a service of its own, do not disturb each other.
    """

    name: str
    qps: int
    rows: int
    server: dict[str, Any] = field(default_factory=dict)
    clients: tuple[str, ...] = PEERS
    processes: int = 1
    together: bool = False


SCENARIOS = (
    Scenario(name="window 3/s", qps=3, rows=24, server={"jitter": JITTER}, together=True),
    Scenario(name="window 50/s", qps=50, rows=300, server={"jitter": JITTER}),
    Scenario(name="window 250/s", qps=250, rows=1500, server={"jitter": JITTER}),
    Scenario(name="window 1000/s", qps=1000, rows=4000, server={"latency": 0.005}),
    Scenario(name="bucket 50/s", qps=50, rows=250, server={"rule": "bucket"}, clients=("ours", "handwritten")),
    Scenario(name="outage 3 s at 50/s", qps=50, rows=200, server={"outage_after": 1.0, "outage": 3.0}),
    Scenario(
        name="penalty at 50/s", qps=50, rows=200, clients=("ours",),
        server={"outage_after": 1.0, "outage": 3.0, "penalty": True},
    ),
    Scenario(name="four processes 250/s", qps=250, rows=400, processes=4, clients=("ours",), server={"jitter": JITTER}),
    Scenario(name="cpu floor", qps=0, rows=3000, server={"latency": 0.0}, clients=("plain", "fetch", "ours")),
)  # fmt: skip


@contextmanager
def serving(settings: dict[str, Any], books: dict[str, Any]) -> Iterator[str]:
    """Run the strict service; fill `books` with what it saw, when it has ended."""
    command = [sys.executable, str(HERE / "fetch_server.py"), json.dumps(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.send_signal(signal.SIGTERM)
        books.update(json.loads(server.stdout.read()))


def run_once(scenario: Scenario, client: str) -> dict[str, float]:
    """Run one client of a scenario once; return its figures."""
    books: dict[str, Any] = {}
    with serving({"qps": scenario.qps, **scenario.server}, books) as endpoint, tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "fetch_clients.py"), client, endpoint, str(scenario.qps)]
        command += [str(scenario.rows), folder]
        environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
            for _ in range(scenario.processes)
        ]
        reports = [json.loads(process.communicate(timeout=180)[0]) for process in running]
    return figures(scenario, books, reports)


def figures(scenario: Scenario, books: dict[str, Any], reports: list[dict[str, float]]) -> dict[str, float]:
    """Compute one run's figures from the service's books and the clients' reports."""
    accepted, refused = sorted(books["accepted"]), sorted(books["refused"])
    begin, end = books["outage"]
    open_time = accepted[-1] - accepted[0] - (end - begin)
    return {
        "attained": (len(accepted) - 1) / open_time / scenario.qps if scenario.qps else 0.0,
        "answered": sum(report["answered"] for report in reports) / scenario.rows / scenario.processes,
        "refused": len(refused),
        "most in 1 s": most_in_a_second(sorted(accepted + refused)),
        "into closed": sum(begin <= at < end for at in refused),
        "in flight then": books["in_flight"] + 1 if end else 0,
        "refused later": sum(at >= end for at in refused) if end else 0,
        "resumed after": min((at - end for at in accepted if at >= end), default=0.0) if end else 0.0,
        "rate": (len(accepted) - 1) / (accepted[-1] - accepted[0]),
        "cpu ms": sum(report["cpu"] for report in reports) * 1000 / max(1, sum(r["answered"] for r in reports)),
        "peak MB": max(report["peak_mb"] for report in reports),
    }


def most_in_a_second(stamps: list[float]) -> int:
    """Return the most stamps in any window of a second."""
    inside: deque[float] = deque()
    most = 0
    for stamp in stamps:
        inside.append(stamp)
        while inside[0] <= stamp - 1.0:
            inside.popleft()
        most = max(most, len(inside))
    return most


def show(results: Results, console: Console) -> None:
    """Print the median of each figure and its range; of what should not be at all, the worst run."""
    names = list(next(iter(next(iter(results.values())).values()))[0])
    table = Table("scenario", "client", *names, title="medians (least-most); counts: the worst run")
    for scenario, clients in results.items():
        for client, runs in clients.items():
            worst = {"refused", "most in 1 s", "into closed", "refused later"}
            found = {name: [run[name] for run in runs] for name in names}
            cells = (f"{max(found[name]):g}" if name in worst else _spread(found[name]) for name in names)
            table.add_row(scenario, client, *cells)
    console.print(table)
    console.print(
        f"{os.cpu_count()} cores, load over the last minutes {', '.join(f'{one:.1f}' for one in os.getloadavg())}"
    )


def _spread(values: list[float]) -> str:
    middle, least, most = f"{median(values):.3g}", f"{min(values):.3g}", f"{max(values):.3g}"
    return middle if least == most else f"{middle} ({least}-{most})"


def bar(results: Results) -> Iterator[tuple[str, bool]]:
    """Yield each line of the bar that the scenarios run so far can decide, and whether it is met."""

    def figure(scenario: str, client: str, name: str) -> list[float]:
        return [run[name] for run in results[scenario][client]]

    for qps, over_script in ((3, 1.15), (50, 1.03), (250, 1.03)):
        if (name := f"window {qps}/s") in results:
            attained = median(figure(name, "ours", "attained"))
            yield f"{name}: no refusal", max(figure(name, "ours", "refused")) == 0
            yield f"{name}: at least .985 of the quota", attained >= 0.985
            ratio = attained / median(figure(name, "handwritten", "attained"))
            yield f"{name}: {ratio:.2f} of the hand-written script, at least {over_script}", ratio >= over_script
    if (name := "window 250/s") in results:
        ratio = median(figure(name, "ours", "attained")) / median(figure(name, "scrapy", "attained"))
        yield f"{name}: {ratio:.2f} of Scrapy, at least 1.2", ratio >= 1.2
    if (name := "window 1000/s") in results:
        attained = median(figure(name, "ours", "attained"))
        yield f"{name}: no refusal", max(figure(name, "ours", "refused")) == 0
        beaten = attained >= median(figure(name, "handwritten", "attained"))
        yield f"{name}: at least .95, or no less than the hand-written script", attained >= 0.95 or beaten
    if (name := "outage 3 s at 50/s") in results:
        runs = results[name]["ours"]
        yield f"{name}: into it no more than was in flight", all(r["into closed"] <= r["in flight then"] for r in runs)
        yield f"{name}: goes on within .15 s", all(r["resumed after"] <= 0.15 for r in runs)
        yield f"{name}: none refused afterwards", all(r["refused later"] == 0 for r in runs)
    if (name := "cpu floor") in results:
        plain = median(figure(name, "plain", "cpu ms"))
        for client, what in (("fetch", "request alone"), ("ours", "request, reading, record, line")):
            ratio = median(figure(name, client, "cpu ms")) / plain
            yield f"{name}, {what}: {ratio:.2f} of a plain loop's CPU, at most 1.15", ratio <= 1.15
    if (name := "four processes 250/s") in results:
        yield f"{name}: no refusal", max(figure(name, "ours", "refused")) == 0
        yield f"{name}: at least .985 of the quota", median(figure(name, "ours", "attained")) >= 0.985


def write(results: Results) -> None:
    """Write what is known so far, with the machine's load: figures of a busy machine are worth less."""
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"load": os.getloadavg(), "cores": os.cpu_count(), "results": results}, indent=1))


def main() -> None:
    """Run, print, write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--only", default="")
    options = arguments.parse_args()
    console = Console(width=200)
    results: Results = {}
    started = time.monotonic()
    for scenario in SCENARIOS:
        if options.only in scenario.name:
            runs: dict[str, list[dict[str, float]]] = {client: [] for client in scenario.clients}
            for _ in range(options.runs):
                with ThreadPoolExecutor(len(scenario.clients) if scenario.together else 1) as pool:
                    found = list(pool.map(partial(run_once, scenario), scenario.clients))
                for client, one in zip(scenario.clients, found, strict=True):
                    runs[client].append(one)
            results[scenario.name] = runs
            console.print(f"{time.monotonic() - started:4.0f} s  {scenario.name}")
            write(results)
    show(results, console)
    for line, met in bar(results):
        console.print("met   " if met else "MISSED", line)
    console.print(f"every run: {OUT.relative_to(HERE.parents[1])}")


if __name__ == "__main__":
    main()
