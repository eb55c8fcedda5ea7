"""The embedded service as a child: how long a run waits for it, and that it never outlives the run."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import cast

import anyio
import pytest
from anyio.abc import Process

from pipeline.config import ModelSettings
from pipeline.errors import ConfigError
from pipeline.local import process
from pipeline.local.embedded import _by_content
from pipeline.local.process import EmbeddedService
from pipeline.runner.job import run
from pipeline.service.engine.embedding import _digest
from pipeline.service.findings import ModelConfig
from tests.clocks import leap
from tests.running import draw, load
from tests.waiting import HANG_SECONDS, is_pending, until

# Children that say how far their index is: one goes on when it is told to, the other hangs, deaf to SIGTERM.
SLOW = """
import sys
with open(sys.argv[1]) as steps:
    for done in range(8):
        print(f"index: {done} of 8 rows", file=sys.stderr, flush=True)
        steps.readline()
print('{"ready": true, "port": 4711}', flush=True)
sys.stdin.read()
"""
TALKATIVE = """
import os, sys
print(*sorted(os.environ), sep="\\n", file=sys.stderr, flush=True)
print(open("/proc/self/environ").read(), file=sys.stderr, flush=True)
print('{"ready": true, "port": 4711}', flush=True)
sys.stdin.read()
"""
STUCK = """
import os, signal, sys
print(f"index: 1 of 8 rows, process {os.getpid()}", file=sys.stderr, flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture(autouse=True)
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the child's log more often than a run does, as these tests put the clock forward."""
    monkeypatch.setattr(process, "LOOK_SECONDS", 0.01)


async def pass_time(seconds: float) -> None:
    """Put the clock forward, and give the wait for the child the time to look at it."""
    leap(seconds)
    await look()


async def look() -> None:
    """Let the wait for the child look at its log: timers are handled in their order."""
    await anyio.sleep(5 * process.LOOK_SECONDS)


async def test_an_index_that_takes_its_time_is_waited_for(tmp_path: Path) -> None:
    """A child that says something now and then may take longer than the limit on its silence."""
    log, steps = tmp_path / "service.log", tmp_path / "steps"
    os.mkfifo(steps)

    def said() -> int:
        return log.read_text().count("\n") if log.exists() else 0

    async def take_long() -> None:
        with os.fdopen(os.open(steps, os.O_RDWR), "wb", buffering=0) as told:
            for done in range(8):
                await until(lambda: said() > done, f"step {done} is said")  # noqa: B023 - it is called at once
                for _ in range(2):
                    await pass_time(0.45 * process.SILENCE_SECONDS)
                told.write(b"go on\n")

    service = EmbeddedService([sys.executable, "-c", SLOW, str(steps)], log)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take_long)
        try:
            assert await service.open() == "http://127.0.0.1:4711/v7.0"
        finally:
            await service.close()


async def test_the_child_gets_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded service needs the path of programs and libraries, and none of the keys of its parent."""
    monkeypatch.setenv("TEST_INSIGHTS_KEY", "recognisable-key-0123456789")
    monkeypatch.setenv("CDN_LOGIN", "recognisable-key-0123456789")
    with anyio.fail_after(HANG_SECONDS):
        service = EmbeddedService([sys.executable, "-c", TALKATIVE], tmp_path / "service.log")
        try:
            await service.open()
        finally:
            await service.close()
    said = (tmp_path / "service.log").read_text()
    assert "PATH" in said.splitlines()
    assert not {"TEST_INSIGHTS_KEY", "CDN_LOGIN"} & set(said.splitlines())
    assert "recognisable-key" not in said


async def test_a_service_that_hangs_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is a stall: the child is killed, and the run ends with exit code 3 and a sentence that names the log."""
    draw(tmp_path / "pictures" / "p1.png", 1)
    draw(tmp_path / "pictures" / "p2.png", 2)
    tables = [
        "[manifest]",
        f"path = '{tmp_path}/pictures'",
        "[provider]",
        "name = 'local'",
        "[output]",
        f"dir = '{tmp_path}/out'",
    ]
    (tmp_path / "job.toml").write_text("\n".join(tables))
    monkeypatch.setattr("pipeline.local.backend.command_of", lambda *_: [sys.executable, "-c", STUCK])
    log = tmp_path / "out" / "service.log"

    def child() -> int | None:
        said = log.read_text() if log.exists() else ""
        pid = int(said.split()[-1]) if said.endswith("\n") else 0
        stopped = pid and "State:\tT" in Path(f"/proc/{pid}/status").read_text()
        return pid if stopped else None

    async def run_out_of_time() -> None:
        pid = await until(child, "the child hangs")
        await look()
        await pass_time(1.1 * process.SILENCE_SECONDS)
        await until(lambda: is_pending(pid, signal.SIGTERM), "the child is asked to stop")
        await pass_time(1.1 * process.STOP_SECONDS)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_out_of_time)
        report = await run(load(tmp_path / "job.toml"))
    assert (report.exit_code, report.reason, report.traffic.sends) == (3, "stalled", 0)
    assert "no further with its index" in str(report.cause)
    assert log.read_text().count("index: 1 of 8 rows") == 1  # it was started once, although two rows asked for it
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text().split()[-1]), 0)


class Held:
    """A process that a disk which is gone holds: no signal reaches it."""

    returncode = None

    def __init__(self) -> None:
        self.told = list[str]()

    def terminate(self) -> None:
        self.told.append("terminate")

    def kill(self) -> None:
        self.told.append("kill")

    async def wait(self) -> None:
        leap(1.1 * process.STOP_SECONDS)
        await anyio.sleep_forever()


async def test_a_child_that_can_not_be_killed_is_left() -> None:
    """It is asked, then killed, and then not waited for any longer."""
    held = Held()
    await process._end(cast("Process", held))
    assert held.told == ["terminate", "kill"]


def test_both_sides_name_a_model_by_the_same_content(tmp_path: Path) -> None:
    """A run and its service digest a model's file and the weights beside it alike, and each byte of them counts."""
    path, weights = tmp_path / "model[1].onnx", tmp_path / "model[1].onnx.data"

    def digests() -> set[str]:
        known = _by_content(ModelSettings(path=str(path)))
        assert known is not None
        return {known.path, _digest(ModelConfig(path=path))}

    with pytest.raises(ConfigError):
        digests()
    seen = set[str]()
    for file, content in ((path, b"graph"), (weights, b"weights"), (weights, b"other weights"), (path, b"other graph")):
        file.write_bytes(content)
        (tmp_path / "model1.onnx").write_bytes(content)  # what the brackets would match as a pattern
        found = digests()
        assert len(found) == 1
        seen |= found
    assert len(seen) == 4
