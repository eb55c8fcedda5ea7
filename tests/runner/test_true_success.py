"""A run that reports success has looked at the rows, and no paid record leaves the output by mistake."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.report.run_json import Report
from pipeline.runner.job import run
from tests.running import KEY, KEY_ENV, Service, draw, lines_of, load, running_service, write_config, write_manifest


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 40 pictures."""
    folder = tmp_path_factory.mktemp("drawn")
    for number in range(40):
        draw(folder / f"p{number}.png", number)
    return folder


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory, drawn: Path) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service"), drawn, "--no-text") as service:
        yield service


@pytest.fixture
def service(shared_service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setenv(KEY_ENV, KEY)
    os.truncate(shared_service.journal, 0)
    return shared_service


@pytest.fixture
def pictures(tmp_path: Path, drawn: Path) -> Path:
    """Return a folder of the same pictures that a test may change."""
    return Path(shutil.copytree(drawn, tmp_path / "mnt" / "pictures"))


def job(tmp_path: Path, pictures: Path, service: Service, rows: range, **output: object) -> Config:
    """Return the job of the pictures with these numbers."""
    manifest = write_manifest(tmp_path / "manifest.csv", [{"id": f"r{n}", "image": f"p{n}.png"} for n in rows])
    output = {"max_failed": "5%", **output}
    return load(
        write_config(tmp_path / "job.toml", manifest, service.endpoint, manifest={"root": str(pictures)}, output=output)
    )


def records(tmp_path: Path) -> list[str]:
    """Return the ids in insights.jsonl, in order."""
    return sorted(line["id"] for line in lines_of(tmp_path / "out" / "insights.jsonl"))


def told(report: Report) -> tuple[int, str]:
    """Return the exit code and the reason of a run."""
    return int(report.exit_code), report.reason


def unmount(folder: Path) -> None:
    """Leave an empty folder, as where a disk is not mounted."""
    folder.rename(folder.with_suffix(".away"))
    folder.mkdir()


def mount(folder: Path) -> None:
    """Bring back what was there."""
    folder.rmdir()
    folder.with_suffix(".away").rename(folder)


@pytest.mark.parametrize("count", [40, 10])
async def test_pictures_that_are_not_mounted_cost_no_record(
    tmp_path: Path, pictures: Path, service: Service, count: int
) -> None:
    """An empty mount point stops the run, night after night; the records stay, and are current once it is mounted."""
    config = job(tmp_path, pictures, service, range(count))
    assert (await run(config)).exit_code == 0
    before = (tmp_path / "out" / "insights.jsonl").read_bytes()
    unmount(pictures)
    for _ in range(2):
        report = await run(config)
        assert told(report) == (3, "pictures-missing")
        assert f"in {pictures} (not-found); is it mounted?" in str(report.cause)
        assert (tmp_path / "out" / "insights.jsonl").read_bytes() == before
        assert lines_of(tmp_path / "out" / "failures.jsonl") == []
    mount(pictures)
    report = await run(config)
    assert (report.exit_code, report.tally.done_before, len(service.seen())) == (0, count, count)


async def test_one_folder_that_is_not_mounted_stops_the_run(tmp_path: Path, pictures: Path, service: Service) -> None:
    """Pictures elsewhere are there: an empty folder says enough."""
    (pictures / "share").mkdir()
    for number in range(20, 40):
        (pictures / f"p{number}.png").rename(pictures / "share" / f"p{number}.png")
    rows = [{"id": f"r{n}", "image": f"{'share/' if n >= 20 else ''}p{n}.png"} for n in range(40)]
    config = job(tmp_path, pictures, service, range(40))
    write_manifest(tmp_path / "manifest.csv", rows)
    assert (await run(config)).exit_code == 0
    for picture in (pictures / "share").iterdir():
        picture.unlink()
    report = await run(config)
    assert told(report) == (3, "pictures-missing")
    assert f"in {pictures / 'share'} " in str(report.cause)
    assert len(records(tmp_path)) == 40


async def test_a_few_deleted_pictures_keep_their_records_and_end_no_night(
    tmp_path: Path, pictures: Path, service: Service
) -> None:
    """Their rows fail each night, and the other rows are done."""
    config = job(tmp_path, pictures, service, range(39), max_failed="50%")
    assert (await run(config)).exit_code == 0
    for number in range(12):
        (pictures / f"p{number}.png").unlink()
    config = job(tmp_path, pictures, service, range(40), max_failed="50%")
    for expected in (1, 0):
        report = await run(config)
        assert (report.exit_code, report.tally.failed, report.tally.ok) == (1, {"not-found": 12}, expected)
    assert len(records(tmp_path)) == 40


async def test_more_missing_pictures_than_failures_are_allowed_are_told_at_the_end(
    tmp_path: Path, pictures: Path, service: Service
) -> None:
    """Everything else is done first; the exit code says that something is wrong."""
    config = job(tmp_path, pictures, service, range(39))
    assert (await run(config)).exit_code == 0
    for number in range(25):
        (pictures / f"p{number}.png").unlink()
    report = await run(job(tmp_path, pictures, service, range(40)))
    assert (told(report), report.tally.ok) == ((3, "pictures-missing"), 1)
    assert len(records(tmp_path)) == 40


async def test_a_picture_that_can_not_be_read_keeps_its_record(
    tmp_path: Path, pictures: Path, service: Service
) -> None:
    """Also where the file is there: emptied, or in place of a folder."""
    config = job(tmp_path, pictures, service, range(4))
    await run(config)
    (pictures / "p0.png").write_bytes(b"")
    (pictures / "p1.png").unlink()
    (pictures / "p1.png").mkdir()
    report = await run(config)
    assert (report.exit_code, report.tally.failed) == (1, {"empty": 1, "not-a-file": 1})
    assert records(tmp_path) == ["r0", "r1", "r2", "r3"]
    assert lines_of(tmp_path / "out" / "failures.jsonl") == []
