"""changes.jsonl holds exactly what changed, over ten nights and through kills at any instant."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import orjson
import pytest

from pipeline.resume.keys import row_key
from pipeline.sink.changes_file import read_changes
from pipeline.sink.finish import compact_job
from pipeline.sink.job_files import CHANGES, INSIGHTS, open_job
from pipeline.sink.sink import write_batch
from tests.changes.nights import NIGHTS, changes_of, plan_nights, planned_changes, run_night
from tests.jobs import failure_of, finished_failure, finished_record, make_record
from tests.running import lines_of
from tests.waiting import HANG_SECONDS

PLANS = list(plan_nights())
ALL_PLANNED = [change for _, planned in PLANS for change in planned]


def test_ten_nights_have_their_planned_changes_and_no_others(tmp_path: Path) -> None:
    """Each change has its own line, and the run that found it."""
    for catalogue, _ in PLANS:
        run_night(tmp_path, catalogue)
    assert changes_of(tmp_path) == planned_changes(ALL_PLANNED)
    runs = Counter(change.run for change in read_changes(tmp_path / CHANGES))
    assert runs == Counter(night for night, *_ in ALL_PLANNED)
    assert len(runs) == NIGHTS - 1


def test_a_night_that_is_run_again_changes_nothing(tmp_path: Path) -> None:
    """The same records twice are no news."""
    for catalogue, _ in PLANS[:3]:
        run_night(tmp_path, catalogue)
        run_night(tmp_path, catalogue)
    assert changes_of(tmp_path) == planned_changes([change for _, planned in PLANS[:3] for change in planned])


def test_kills_at_random_lose_no_change_and_repeat_none(tmp_path: Path, project: Path) -> None:
    """Each of the ten nights is killed three times before it is finished."""
    command = [sys.executable, "-m", "tests.changes.nights", "storm", str(tmp_path / "job")]
    subprocess.run(command, cwd=project, check=True, timeout=HANG_SECONDS, env=dict(os.environ))
    assert changes_of(tmp_path / "job") == planned_changes(ALL_PLANNED)


def test_a_kill_at_any_instant_leaves_exactly_the_changes(tmp_path: Path, project: Path, long: bool) -> None:
    """Killed before each statement, write, sync and rename of a night, the next run leaves the same lines."""
    job = tmp_path / "job"
    for catalogue, _ in PLANS[:2]:
        run_night(job, catalogue)
    command = [sys.executable, "-m", "tests.changes.nights", "instant", str(job), "3", "1" if long else "4"]
    subprocess.run(command, cwd=project, check=True, timeout=HANG_SECONDS, env=dict(os.environ))
    copies = list(tmp_path.glob("killed-*"))
    expected = planned_changes([change for _, planned in PLANS[:3] for change in planned])
    assert len(copies) > 20
    assert [copy.name for copy in copies if changes_of(copy) != expected] == []
    assert {frozenset(record["id"] for record in lines_of(copy / INSIGHTS)) for copy in copies} == {
        frozenset(record["id"] for record in lines_of(copies[0] / INSIGHTS))
    }


def test_a_superseded_record_is_kept_as_long_as_the_config_says(tmp_path: Path) -> None:
    """It is compressed in state.db, newest first; one that says the same is not kept again."""
    first, second = make_record("a", market="de-DE", tags=[]), make_record("a", tags=[{"name": "t", "sources": []}])
    with open_job(tmp_path) as job:
        for record in (first, second, {**second, "ordinal": 5}, first):
            write_batch(job, [finished_record(record)])  # type: ignore[arg-type] # a record
        kept = job.state.history.records(row_key("a"))
        assert [orjson.loads(line)["ordinal"] for line in kept] == [5, 0]
        assert orjson.loads(kept[1]) == first
        job.state.known_rows.note_seen({row_key("a"): 1})
        compact_job(job, False, 60.0)
        assert len(job.state.history.records(row_key("a"))) == 2
        job.state.history.forget_before(time.time() + 1)
        assert job.state.history.records(row_key("a")) == []


def test_a_record_that_is_pruned_goes_to_the_history(tmp_path: Path) -> None:
    """What is superseded goes there before it goes, and its row is removed once."""
    with open_job(tmp_path) as job:
        write_batch(job, [finished_record(make_record("a"))])
        job.state.known_rows.note_seen({row_key("a"): 1})
        compact_job(job, True, 60.0)
    for _ in range(2):
        with open_job(tmp_path) as job:
            compact_job(job, True, 60.0)
            assert len(job.state.history.records(row_key("a"))) == 1
    assert changes_of(tmp_path) == Counter([("a", "removed", "", "a.jpg", None)])


def test_a_failure_between_two_records_hides_no_change(tmp_path: Path) -> None:
    """The row has failed, and is back with another price: three changes, none of them twice."""
    offer = {"url": "https://a.example/", "price": 5.0, "currency": "EUR"}
    with open_job(tmp_path) as job:
        write_batch(job, [finished_record(make_record("a", offers=[offer]))])
        write_batch(job, [finished_failure(failure_of("a", 0))])
        write_batch(job, [finished_failure(failure_of("a", 0, "too-large"))])
        write_batch(job, [finished_record(make_record("a", offers=[{**offer, "price": 4.0}]))])
    assert changes_of(tmp_path) == Counter(
        [
            ("a", "status", "", "ok", "failed"),
            ("a", "status", "", "failed", "ok"),
            ("a", "offers.price", "https://a.example/", 5.0, 4.0),
        ]
    )


def test_nothing_is_new_on_first_sight(tmp_path: Path) -> None:
    """Until a run went through the whole manifest, rows come in without a change, whatever failed before."""
    with open_job(tmp_path) as job:
        write_batch(job, [finished_failure(failure_of("a", 0)), finished_record(make_record("b", 1))])
        write_batch(job, [finished_record(make_record("a")), finished_record(make_record("c", 2))])
    assert changes_of(tmp_path) == Counter()


@pytest.mark.parametrize("left", [0, 1], ids=["moved away", "shortened"])
def test_changes_may_be_moved_away(tmp_path: Path, left: int) -> None:
    """The file goes on from what is left of it."""
    with open_job(tmp_path) as job:
        for number in range(3):
            write_batch(
                job, [finished_record(make_record("a", market=str(number), status=("ok", "empty")[number % 2]))]
            )
    lines = (tmp_path / CHANGES).read_bytes().splitlines(keepends=True)
    assert len(lines) == 2
    (tmp_path / CHANGES).write_bytes(b"".join(lines[:left]))
    with open_job(tmp_path) as job:
        write_batch(job, [finished_record(make_record("a", status="empty"))])
    assert len(list(read_changes(tmp_path / CHANGES))) == left + 1
