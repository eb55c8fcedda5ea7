"""The library: run() is a guest in its application, whose signals, threads and event loop it leaves alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from pipeline import Stop, run
from pipeline.report.run_json import Report
from tests.running import KEY, KEY_ENV, Service, draw, lines_of, load, running_service, write_config, write_manifest
from tests.waiting import HANG_SECONDS, until

ROWS = 6


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    pictures = tmp_path_factory.mktemp("pictures")
    for number in range(ROWS):
        draw(pictures / f"p{number}.png", number)
    with running_service(tmp_path_factory.mktemp("service"), pictures) as service:
        yield service


@pytest.fixture
def job(tmp_path: Path, shared_service: Service, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the config of a job over the service, which has no fault to come."""
    monkeypatch.setenv(KEY_ENV, KEY)
    shared_service.faults()
    for number in range(ROWS):
        draw(tmp_path / "pictures" / f"p{number}.png", number)
    rows = [{"id": f"r{n}", "image": f"pictures/p{n}.png"} for n in range(ROWS)]
    manifest = write_manifest(tmp_path / "manifest.csv", rows)
    return write_config(tmp_path / "job.toml", manifest, shared_service.endpoint)


def test_a_run_works_off_the_main_thread(job: Path) -> None:
    """A worker thread of a web application or an orchestrator may run a job."""
    reports = list[Report]()
    thread = threading.Thread(target=lambda: reports.append(anyio.run(run, load(job))))
    thread.start()
    thread.join(HANG_SECONDS)
    assert [(report.exit_code, report.tally.ok) for report in reports] == [(0, ROWS)]


async def test_a_run_leaves_handlers_alone(job: Path) -> None:
    """What the application does on a signal is the same before, during and after a run."""
    during = list[object]()

    async def look(*_: object) -> None:
        while True:
            during.append([signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)])
            await anyio.sleep(0.01)

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    await run(load(job), progress=look)
    assert during
    assert all(handlers == before for handlers in during)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before


async def test_two_jobs_run_in_one_loop(job: Path, tmp_path: Path) -> None:
    """Beside each other, each with its own output."""
    reports = list[Report]()

    async def one(name: str) -> None:
        reports.append(await run(load(job, f"output.dir={tmp_path / name}")))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one, "a")
        tasks.start_soon(one, "b")
    assert [report.exit_code for report in reports] == [0, 0]
    assert len(lines_of(tmp_path / "a" / "insights.jsonl")) == len(lines_of(tmp_path / "b" / "insights.jsonl")) == ROWS


async def test_a_stop_from_another_thread_drains_the_run(job: Path, shared_service: Service) -> None:
    """What is in flight is finished and committed; the report says who stopped it, and the next run goes on."""
    shared_service.faults({"kind": "answer"}, {"kind": "answer", "delay": 1.0, "times": ROWS})
    stop = Stop()
    config = load(job, "limits.concurrency=1")

    async def stop_after_the_first(*_: object) -> None:
        await until(lambda: bool(shared_service.seen()), "the first answer has been sent")
        threading.Thread(target=stop.ask).start()

    shared_service.journal.write_bytes(b"")
    report = await run(config, progress=stop_after_the_first, stop=stop)
    assert (report.exit_code, report.reason) == (3, "stopped")
    assert 1 <= report.tally.ok < ROWS
    shared_service.faults()
    assert (await run(config)).tally.done_before == report.tally.ok


APPLICATION = """
import signal, sys, anyio
from pipeline import load_config, run

async def main():
    with anyio.open_signal_receiver(signal.SIGTERM) as received:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, load_config(sys.argv[1]))
            print("running", flush=True)
            count = 0
            async for _ in received:
                count += 1
                print(f"signal {count}", flush=True)
                if count == 2:
                    tasks.cancel_scope.cancel()
                    break
    print("cleaned up", flush=True)

anyio.run(main)
"""


def test_the_applications_own_cleanup_runs_after_two_signals(job: Path, shared_service: Service) -> None:
    """A run neither takes an application's signals nor ends its process."""
    shared_service.faults({"kind": "answer", "delay": 60.0, "times": ROWS})
    command = [sys.executable, "-c", APPLICATION, str(job)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "signal 1\n"
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=HANG_SECONDS)
    shared_service.faults()
    assert (process.returncode, rest.splitlines()) == (0, ["signal 2", "cleaned up"])
