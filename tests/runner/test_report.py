"""The page that a run leaves behind: written by the run itself or by the command, with thumbnails made on the way."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from pipeline.config import Config
from pipeline.errors import OutputError
from pipeline.report.page.write import REPORT_FILE
from pipeline.runner.job import run
from pipeline.sink.thumbnails import THUMBNAILS
from tests.running import KEY, KEY_ENV, Service, draw, load, running_service, write_config, write_manifest


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a service over three pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        draw(folder / f"{number}.png", number)
    with running_service(tmp_path_factory.mktemp("service"), folder) as service:
        yield service


@pytest.fixture
def config(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Return a job of two pictures, one that is none, and a call that is refused; it writes its report."""
    monkeypatch.setenv(KEY_ENV, KEY)
    for number in range(3):
        draw(tmp_path / f"{number}.png", number)
    (tmp_path / "3.png").write_bytes(b"no picture")
    rows = [{"id": f"r{number}", "image": f"{number}.png"} for number in range(4)]
    rows[2]["market"] = "en-US"
    manifest = write_manifest(tmp_path / "rows.csv", [{"market": "", **row} for row in rows])
    return load(write_config(tmp_path / "job.toml", manifest, service.endpoint, output={"report": True}))


def thumbnails_in(page: Path) -> set[str]:
    """Return the places of the rows whose thumbnails are in a page."""
    (block,) = re.findall(r'id="thumbnails">(.*?)</script>', page.read_text(encoding="utf-8"))
    return set(json.loads(block))


async def test_a_run_writes_its_page(config: Config, tmp_path: Path) -> None:
    """Every picture that could be read has its thumbnail; the page names the command that retries the others."""
    report = await run(config)
    assert report.cause is None
    page = tmp_path / "out" / REPORT_FILE
    assert thumbnails_in(page) == {"0", "1", "2"}
    assert f"image-insights retry {tmp_path}/job.toml --code not-a-picture" in page.read_text(encoding="utf-8")
    assert "3 of 4 rows have a record; 1 failed." in page.read_text(encoding="utf-8")


async def test_a_page_that_can_not_be_written_is_said(config: Config, tmp_path: Path) -> None:
    """The run ends with exit code 3 and names the file; its records are there all the same."""
    (tmp_path / "out" / REPORT_FILE).mkdir(parents=True)
    report = await run(config)
    assert isinstance(report.cause, OutputError)
    assert REPORT_FILE in str(report.cause)
    assert report.tally.ok == 3


async def test_without_it_nothing_is_kept(config: Config, tmp_path: Path) -> None:
    """A job that wants no report has no page and no thumbnails."""
    assert (await run(load(tmp_path / "job.toml", "output.report=false"))).cause is None
    assert {REPORT_FILE, THUMBNAILS} & {path.name for path in (tmp_path / "out").iterdir()} == set()


def test_the_command_writes_the_page_of_any_job(config: Config, tmp_path: Path) -> None:
    """It prints where the page is; with --json it prints run.json and writes nothing."""
    anyio.run(run, load(tmp_path / "job.toml", "output.report=false"))
    command = [sys.executable, "-m", "pipeline", "report", str(tmp_path / "job.toml")]
    said = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == json.loads((tmp_path / "out" / "run.json").read_text())
    assert not (tmp_path / "out" / REPORT_FILE).exists()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path}/out/{REPORT_FILE}\n"
    assert thumbnails_in(tmp_path / "out" / REPORT_FILE) == set()
