"""Change detection knows what is new, changed, done, failed or repeated, without opening any picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pipeline.records import Failure, Row
from pipeline.resume.changes import ChangeDetector, Changes, PendingRow
from pipeline.resume.keys import row_key
from pipeline.state.job_state import open_state
from pipeline.state.ledger import LedgerEntry, State
from tests.rows import make_failure, make_row


@dataclass(frozen=True, slots=True)
class Job:
    """A state on disk; each call is a run of its own."""

    path: Path

    def detect(self, *items: Row | Failure, settings: bytes = b"s", not_before: float = 0.0) -> Changes:
        """Return the changes of one batch."""
        with open_state(self.path) as state:
            return ChangeDetector(state.known_rows, settings, not_before=not_before).detect(items)

    def detect_batches(self, *batches: Sequence[Row | Failure]) -> list[list[PendingRow]]:
        """Return the pending rows of several batches of one run."""
        with open_state(self.path) as state:
            detector = ChangeDetector(state.known_rows, b"s")
            return [detector.detect(batch).pending_rows for batch in batches]

    def mark(self, row: PendingRow, ended: State = State.DONE, asked_at: float = 100.0, code: str = "") -> None:
        """Give a row its line."""
        entry = LedgerEntry(
            row_key=row.row_key,
            state=ended,
            content_key=row.content_key,
            file_stamp=row.file_stamp,
            asked_at=asked_at,
            code=code,
        )
        with open_state(self.path) as state:
            state.ledger.mark([entry])


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path / "state.db")


def test_an_unchanged_row_is_done_and_a_changed_one_is_not(job: Job, tmp_path: Path) -> None:
    """The picture's size and times, the row and the settings each make a row new again."""
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"1")
    row = make_row("a", path=picture)
    job.mark(job.detect(row).pending_rows[0])
    assert job.detect(row).done_before == 1
    assert job.detect(row, settings=b"others").done_before == 0
    assert job.detect(replace(row, market="de-DE")).done_before == 0
    assert job.detect(replace(row, carry={"title": "new"})).done_before == 0
    os.utime(picture, ns=(1, 1))
    assert job.detect(row).done_before == 0


def _overwrite(picture: Path) -> None:
    picture.write_bytes(b"2")


def _replace(picture: Path) -> None:
    other = picture.with_suffix(".tmp")
    other.write_bytes(b"2")
    other.replace(picture)


@pytest.mark.parametrize("change", [_overwrite, _replace], ids=["in place", "as rsync does"])
def test_other_content_of_the_same_size_and_time_is_noticed(
    job: Job, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Inode and change time tell it, although size and modification time were put back."""
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"1")
    before = picture.stat()
    row = make_row("a", path=picture)
    job.mark(job.detect(row).pending_rows[0])
    change(picture)
    os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = picture.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert job.detect(row).done_before == 0


def test_answers_older_than_the_refresh_are_asked_again(job: Job) -> None:
    """A record that is too old is to be done again, a failure is not."""
    rows = [make_row("a", 1), make_row("b", 2)]
    done, failed = job.detect(*rows).pending_rows
    job.mark(done)
    job.mark(failed, State.FAILED, code="truncated")
    changes = job.detect(*rows, not_before=101.0)
    assert [pending_row.item.id for pending_row in changes.pending_rows] == ["a"]
    assert changes.failed_before == {"truncated": 1}


def test_failures_that_may_be_tried_again_are(job: Job) -> None:
    """A fault of the way to the service is tried again by the next run, a verdict on the picture is not."""
    for row_id, ended in (("a", State.RETRYABLE), ("b", State.FAILED)):
        job.mark(job.detect(make_row(row_id)).pending_rows[0], ended, code="x")
    changes = job.detect(make_row("a", 1), make_row("b", 2))
    assert [pending_row.item.id for pending_row in changes.pending_rows] == ["a"]


def test_a_repeated_id_fails_on_its_own_line(job: Job) -> None:
    """Within a batch and across batches: the first line keeps the id, each other one is a failure of its own."""
    first, second = job.detect_batches(
        [make_row("a", 1), make_row("a", 2), make_row("b", 3)], [make_row("a", 4), make_row("c", 5)]
    )
    assert [pending_row.row_key for pending_row in first] == [row_key("a"), first[1].row_key, row_key("b")]
    repeats = [pending_row.item for pending_row in (*first, *second) if isinstance(pending_row.item, Failure)]
    assert [(item.line, item.code) for item in repeats] == [(2, "repeated-id"), (4, "repeated-id")]
    assert "is in line 1 already" in repeats[1].message
    assert len({pending_row.row_key for pending_row in (*first, *second)}) == 5


def test_bad_lines_fail_once_and_are_known_afterwards(job: Job) -> None:
    """A line that is no row is written once and then only counted; once corrected, a row takes its place."""
    pending_row = job.detect(make_failure(7, row_id="x")).pending_rows[0]
    assert pending_row.row_key == row_key("x")
    job.mark(pending_row, State.FAILED, code="bad-line")
    assert job.detect(make_failure(7, row_id="x")).failed_before == {"bad-line": 1}
    assert job.detect(make_row("x", 7)).pending_rows[0].row_key == pending_row.row_key


def test_equal_pictures_and_requests_have_one_cache_key(job: Job) -> None:
    """Ids and carried columns don't matter to the cache key; picture, query and settings do."""
    one, same, other = job.detect(
        make_row("a", 1), make_row("b", 2, carry={"t": 1}), make_row("c", 3, query="q")
    ).pending_rows
    with open_state(job.path) as state:
        detector = ChangeDetector(state.known_rows, b"s")
        assert detector.cache_key(one, "sha") == detector.cache_key(same, "sha")
        assert detector.cache_key(one, "sha") != detector.cache_key(one, "other")
        assert detector.cache_key(one, "sha") != detector.cache_key(other, "sha")
        assert detector.cache_key(one, "sha") != ChangeDetector(state.known_rows, b"t").cache_key(one, "sha")
