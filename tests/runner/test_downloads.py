"""Whole runs over rows that are URLs: hosts that are gone, and what a run that is asked to stop does about them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pipeline.errors import StopRequested
from pipeline.report.run_json import Report
from pipeline.runner.job import run
from pipeline.runner.stop import Stop
from tests.clocks import leap
from tests.running import KEY, KEY_ENV, Service, draw, lines_of, load, running_service, write_config, write_manifest
from tests.waiting import HANG_SECONDS, until

GOOD = 40


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(GOOD):
        draw(folder / f"p{number}.png", number)
    return folder


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service"), pictures) as service:
        yield service


@pytest.fixture
def service(shared_service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setenv(KEY_ENV, KEY)
    shared_service.journal.write_bytes(b"")
    return shared_service


@pytest.fixture
def dead_hosts() -> Iterator[list[str]]:
    """Return hosts that take connections and never answer, and hosts that never take one."""
    with ExitStack() as opened:
        hosts = []
        for backlog in (64, 64, 0, 0):
            listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=backlog))
            if not backlog:  # a full queue: what comes now is dropped, as by a firewall
                for _ in range(3):
                    waiting = opened.enter_context(socket.socket())
                    waiting.setblocking(False)
                    waiting.connect_ex(listener.getsockname())
            hosts.append(f"127.0.0.1:{listener.getsockname()[1]}")
        yield hosts


async def test_dead_urls_don_t_hold_good_ones(
    tmp_path: Path, pictures: Path, service: Service, dead_hosts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 dead URLs come before 40 good ones: these have their records before a single dead one is given up."""
    monkeypatch.setattr("pipeline.downloads.client.CONNECT_SECONDS", 3 * HANG_SECONDS)
    monkeypatch.setattr("pipeline.downloads.client.READ_SECONDS", 3 * HANG_SECONDS)
    app = web.Application()
    app.router.add_static("/", pictures)
    async with TestServer(app) as server, anyio.create_task_group() as group:
        dead = [{"id": f"dead{n}", "image": f"http://{dead_hosts[n % 4]}/p{n}.png"} for n in range(40)]
        good = [{"id": f"good{n}", "image": f"http://127.0.0.1:{server.port}/p{n}.png"} for n in range(GOOD)]
        manifest = write_manifest(tmp_path / "manifest.csv", dead + good)
        prepare = {"allow_private": True, "download_timeout": 3 * HANG_SECONDS}
        config = load(write_config(tmp_path / "job.toml", manifest, service.endpoint, prepare=prepare))
        reports: list[Report] = []

        async def do() -> None:
            reports.append(await run(config))

        group.start_soon(do)
        insights = tmp_path / "out" / "insights.jsonl"
        await until(lambda: insights.exists() and len(lines_of(insights)) == GOOD, "the good ones are done")
        assert not reports  # and the dead ones are still waited for
        while not reports:
            leap(HANG_SECONDS)
            await anyio.sleep(0.05)
    (report,) = reports
    assert (report.exit_code, report.tally.records_written, dict(report.tally.failed)) == (
        1,
        GOOD,
        {"timeout": 40},
    )
    failures = lines_of(tmp_path / "out" / "failures.jsonl")
    assert all(failure["retryable"] and "has not responded for" in failure["message"] for failure in failures)


async def test_a_run_that_is_asked_to_stop_waits_for_no_download(
    tmp_path: Path, service: Service, dead_hosts: list[str]
) -> None:
    """What is downloaded after that would not be sent: the run ends at once, and its rows are left for the next."""
    rows = [{"id": f"dead{n}", "image": f"http://{dead_hosts[n % 4]}/p{n}.png"} for n in range(40)]
    manifest = write_manifest(tmp_path / "manifest.csv", rows)
    config = load(write_config(tmp_path / "job.toml", manifest, service.endpoint, prepare={"allow_private": True}))
    stop = Stop()

    async def stop_soon() -> None:
        await anyio.wait_all_tasks_blocked()
        stop.ask(StopRequested("enough"))

    begun = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(stop_soon)
        report = await run(config, stop=stop)
    assert anyio.current_time() - begun < 25  # the grace of what is in flight is 30 s
    assert (report.reason, report.tally.failures, report.tally.records_written) == ("stopped", 0, 0)
