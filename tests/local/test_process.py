"""The embedded service as a child: how long a run waits for it, and that it never outlives the run."""

from __future__ import annotations

import os
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
from tests.running import draw, load
from tests.waiting import HANG_SECONDS

# Children that say how far their index is: one of them goes on, the others hang, deaf to SIGTERM.
SLOW = """
import sys, time
for done in range(8):
    print(f"index: {done} of 8 rows", file=sys.stderr, flush=True)
    time.sleep(0.1)
print('{"ready": true, "port": 4711}', flush=True)
sys.stdin.read()
"""
STUCK = """
import os, signal, sys
print(f"index: 1 of 8 rows, process {os.getpid()}", file=sys.stderr, flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for tenths of a second where a run waits for minutes."""
    monkeypatch.setattr(process, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(process, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(process, "STOP_SECONDS", 0.2)


async def test_an_index_that_takes_its_time_is_waited_for(tmp_path: Path) -> None:
    """A child that says something now and then may take longer than the limit on its silence."""
    with anyio.fail_after(HANG_SECONDS):
        service = EmbeddedService([sys.executable, "-c", SLOW], tmp_path / "service.log")
        try:
            assert await service.open() == "http://127.0.0.1:4711/v7.0"
        finally:
            await service.close()


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
    with anyio.fail_after(HANG_SECONDS):
        report = await run(load(tmp_path / "job.toml"))
    assert (report.exit_code, report.reason, report.traffic.sends) == (3, "stalled", 0)
    assert "no further with its index" in str(report.cause)
    said = (tmp_path / "out" / "service.log").read_text()
    assert said.count("index: 1 of 8 rows") == 1  # it was started once, although two rows asked for it
    with pytest.raises(ProcessLookupError):
        os.kill(int(said.split()[-1]), 0)


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
        await anyio.sleep_forever()


async def test_a_child_that_can_not_be_killed_is_left() -> None:
    """It is asked, then killed, and then not waited for any longer."""
    held = Held()
    with anyio.fail_after(HANG_SECONDS):
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
