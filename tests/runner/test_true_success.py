"""A run that reports success has looked at the rows, and no paid record leaves the output by mistake."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.commands.check import check
from pipeline.config import Config
from pipeline.errors import UsageError
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


@pytest.mark.parametrize("prune", [False, True])
async def test_no_rows_where_there_were_some_are_reported(
    tmp_path: Path, pictures: Path, service: Service, prune: bool
) -> None:
    """A manifest of a header only removes nothing, neither records nor failures."""
    rows = range(38, 41)  # there is no picture 40
    assert (await run(job(tmp_path, pictures, service, rows))).exit_code == 1
    empty = job(tmp_path, pictures, service, rows, prune=prune)
    (tmp_path / "manifest.csv").write_text("id,image\n")
    report = await run(empty)
    assert told(report) == (2, "rows-missing")
    assert "manifest.csv has no rows, but there were 3 in earlier runs" in str(report.cause)
    assert records(tmp_path) == ["r38", "r39"]
    assert [failure["id"] for failure in lines_of(tmp_path / "out" / "failures.jsonl")] == ["r40"]


async def test_an_empty_folder_where_there_were_pictures_is_reported(
    tmp_path: Path, pictures: Path, service: Service
) -> None:
    """A folder as the manifest that is not mounted."""
    for number in range(4, 40):
        (pictures / f"p{number}.png").unlink()
    config = load(write_config(tmp_path / "job.toml", pictures, service.endpoint))
    assert (await run(config)).tally.ok == 4
    unmount(pictures)
    assert told(await run(config)) == (2, "rows-missing")
    assert len(records(tmp_path)) == 4


async def test_a_new_job_without_rows_is_done(tmp_path: Path, pictures: Path, service: Service) -> None:
    """Nothing was there before: there is nothing to report."""
    config = job(tmp_path, pictures, service, range(0))
    (tmp_path / "manifest.csv").write_text("id,image\n")
    assert told(await run(config)) == (0, "finished")


async def test_pruning_more_than_allowed_removes_nothing(tmp_path: Path, pictures: Path, service: Service) -> None:
    """A share of the records by default, as for the failures; a larger one removes them."""
    assert (await run(job(tmp_path, pictures, service, range(40)))).exit_code == 0
    report = await run(job(tmp_path, pictures, service, range(35), prune=True))
    assert told(report) == (2, "rows-missing")
    assert "would remove 5 of 40 records, more than output.max_removed allows" in str(report.cause)
    assert len(records(tmp_path)) == 40
    assert (await run(job(tmp_path, pictures, service, range(36), prune=True))).exit_code == 0
    assert len(records(tmp_path)) == 36
    assert told(await run(job(tmp_path, pictures, service, range(35), prune=True, max_removed=0)))[0] == 2
    assert (await run(job(tmp_path, pictures, service, range(2), prune=True, max_removed="100%"))).exit_code == 0
    assert records(tmp_path) == ["r0", "r1"]


def other_manifest(tmp_path: Path, config: Config, rows: range) -> Config:
    """Return the job with another manifest of rows that have other ids, but for `rows`."""
    ids = [{"id": f"r{n}" if n in rows else f"x{n}", "image": f"p{n}.png"} for n in range(10)]
    path = write_manifest(tmp_path / "other.csv", ids)
    return config.model_copy(update={"manifest": config.manifest.model_copy(update={"path": str(path)})})


async def test_another_manifest_in_the_same_folder_is_refused(tmp_path: Path, pictures: Path, service: Service) -> None:
    """Before any call, by `run` and by `check`; a setting accepts it."""
    config = job(tmp_path, pictures, service, range(10))
    await run(config)
    other = other_manifest(tmp_path, config, range(0))
    report = await run(other)
    assert (report.exit_code, report.tally.seen, len(service.seen())) == (2, 0, 10)
    assert "none of its rows is among the 10 rows of" in str(report.cause)
    with pytest.raises(UsageError, match=r"output\.several_manifests = true"):
        list(check(other))
    assert (await run(config)).exit_code == 0
    accepted = other.model_copy(update={"output": other.output.model_copy(update={"several_manifests": True})})
    assert (await run(accepted)).exit_code == 0
    assert len(records(tmp_path)) == 20


async def test_a_manifest_that_moved_is_the_same_one(tmp_path: Path, pictures: Path, service: Service) -> None:
    """One known row is enough, as in exports with a date in their name; afterwards it is the one of last time."""
    config = job(tmp_path, pictures, service, range(10))
    await run(config)
    moved = other_manifest(tmp_path, config, range(9, 10))
    assert (await run(moved)).exit_code == 0
    write_manifest(tmp_path / "other.csv", [{"id": "new", "image": "p1.png"}])
    assert (await run(moved)).exit_code == 0
