"""A database that can't be used is reported in one clear sentence with its file, whatever SQLite calls it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.errors import OutputError
from pipeline.state.job_state import JobState, open_state
from tests.rows import REQUEST, entry, make_answer

USES: dict[str, Callable[[JobState], object]] = {
    "committed length": lambda state: state.files.committed("insights.jsonl"),
    "counts": lambda state: state.ledger.counts(),
    "failures": lambda state: state.ledger.failures(),
    "fingerprints": lambda state: state.known_rows.fingerprints(b"k"),
    "lines": lambda state: list(state.files.lines([])),
    "known rows": lambda state: state.known_rows.look_up([b"k"]),
    "count of answers": lambda state: state.answers.count(),
    "answer": lambda state: state.answers.get(b"1" * 32),
    "commit": lambda state: state.commit([entry(b"a")], lengths={}, changed={}),
    "put": lambda state: state.answers.put([(b"1" * 32, REQUEST, make_answer())]),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_database_that_breaks_while_it_is_used_is_reported(
    state: JobState, use: Callable[[JobState], object]
) -> None:
    """Every use of it raises an OutputError that names the file."""
    with closing(sqlite3.connect(state.database.path, isolation_level=None)) as other:
        for table in ("rows", "answers", "meta"):
            other.execute(f"DROP TABLE {table}")
    with pytest.raises(OutputError, match=r"state\.db can't be used .*; what was committed is safe"):
        use(state)


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    """It stops the run with its name, and nothing is overwritten."""
    path = tmp_path / "state.db"
    path.write_bytes(b"this is no database, whatever it is called" * 30)
    with pytest.raises(OutputError, match=r"state\.db is damaged \(file is not a database\)"), open_state(path):
        pass
    assert path.read_bytes().startswith(b"this is no database")


def test_a_full_disk_leaves_a_database_that_goes_on(state: JobState) -> None:
    """A commit that finds no space is undone whole, and the next one works once there is space again."""
    writer = state.database.writer
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages}")
    large = make_answer(bytes(range(256)) * 400)
    many = [(number.to_bytes(32, "big"), REQUEST, large) for number in range(200)]
    with pytest.raises(OutputError, match="full"):
        state.answers.put(many)
    assert state.answers.count() == 0
    writer.execute("PRAGMA max_page_count = 1000000")
    state.answers.put(many)
    assert state.answers.count() == 200
