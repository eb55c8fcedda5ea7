"""A job that an older version began is finished by this one, without a call for what was paid for."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.plan import make_plan
from pipeline.commands.renormalise import renormalise
from pipeline.config import Config
from pipeline.errors import JobLocked
from pipeline.report.status import job_status
from pipeline.runner.job import run
from pipeline.state.migrations import LAYOUT, copy_path
from tests.running import KEY, KEY_ENV, lines_of, load
from tests.state.old_jobs import COPIES, layout

OLD = pytest.mark.parametrize("old", [1, 2], ids=["layout 1", "layout 2"])
IDS = ["plain", "cropped", "repeated", "asked", "unfinished"]


def job(folder: Path, old: int, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Return the config of an old job in `folder`; nothing listens at its endpoint."""
    monkeypatch.setenv(KEY_ENV, KEY)
    COPIES[old](folder)
    sets = {"manifest.path": "manifest.csv", "manifest.root": "pictures", "output.dir": "job"}
    return load(folder / "job.toml", *(f"{name}={folder / value}" for name, value in sets.items()))


def insights(folder: Path) -> dict[str, Any]:
    """Return the records by id, without what tells by how many calls they came about."""
    records = lines_of(folder / "job" / "insights.jsonl")
    assert len({record["id"] for record in records}) == len(records)
    return {record["id"]: {**record, "calls": None, "sent": {**record["sent"], "ms": None}} for record in records}


def written_now(records: dict[str, Any]) -> dict[str, Any]:
    """Return an older version's records with what it did not write."""
    ordinals = {"plain": 0, "cropped": 1, "repeated": 2, "asked": 3}
    return {row_id: {**record, "ordinal": ordinals[row_id], "duplicates": []} for row_id, record in records.items()}


@OLD
async def test_a_job_of_an_older_version_is_finished_without_a_call(
    tmp_path: Path, old: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures are looked at once more, all rows have their lines without a call, and the old database is kept."""
    config = job(tmp_path, old, monkeypatch)
    before = insights(tmp_path)
    report = await run(config)
    assert (report.cause, report.exit_code, report.traffic.sends) == (None, 1, 0)
    assert (report.tally.done_before, report.tally.ok, report.tally.from_store) == (0, 5, 5)
    assert report.tally.failed == {"parameter-invalid-value": 1, "not-found": 1}
    after = insights(tmp_path)
    assert {row_id: after[row_id] for row_id in before} == written_now(before)
    assert sorted(after) == sorted(IDS)
    assert layout(tmp_path / "job" / "state.db") == LAYOUT
    assert layout(copy_path(tmp_path / "job" / "state.db", old)) == old
    again = await run(config)
    assert (again.tally.done_before, again.traffic.sends) == (5, 0)


@OLD
async def test_lines_that_an_older_version_wrote_are_rebuilt_without_a_call(
    tmp_path: Path, old: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost insights.jsonl is made again from the stored answers."""
    config = job(tmp_path, old, monkeypatch)
    before = insights(tmp_path)
    (tmp_path / "job" / "insights.jsonl").unlink()
    report = await run(config)
    assert (report.traffic.sends, report.tally.ok) == (0, 5)
    rebuilt = insights(tmp_path)
    assert {row_id: rebuilt[row_id] for row_id in before} == written_now(before)


@OLD
async def test_records_of_an_older_version_can_be_renormalised(
    tmp_path: Path, old: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their requests are not known, but the records come out as they were, with the reasons the requests gave."""
    config = job(tmp_path, old, monkeypatch)
    path = tmp_path / "job" / "insights.jsonl"
    before = lines_of(path)
    assert b"the service needs the query that led to the image" in path.read_bytes()
    counts = await renormalise(config)
    assert (counts.rebuilt, counts.kept, counts.lost) == (4, 0, 0)
    assert lines_of(path) == [{**record, "duplicates": []} for record in before]


@OLD
def test_plan_and_status_read_a_job_of_an_older_version(
    tmp_path: Path, old: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They migrate it, but not while a run holds the lock: that run may be of the older version.

    The settings have other keys since: without the pictures' bytes, plan can't tell that their answers are stored.
    """
    config = job(tmp_path, old, monkeypatch)
    plan = make_plan(config)
    assert (plan.rows, plan.stored, plan.to_ask, plan.failed) == (7, 0, 5, 1)
    assert "records         4" in job_status(tmp_path / "job")
    COPIES[old](tmp_path)
    with (tmp_path / "job" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for read in (lambda: make_plan(config), lambda: job_status(tmp_path / "job")):
            with pytest.raises(JobLocked):
                read()
    assert layout(tmp_path / "job" / "state.db") == old
