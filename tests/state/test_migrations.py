"""A state.db of an older version is brought to the current layout, whole or not at all, beside a copy."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pipeline.errors import OutputError
from pipeline.state import migrations
from pipeline.state.job_state import open_state
from pipeline.state.ledger import State
from pipeline.state.migrations import COPY_SECONDS, LAYOUT, copy_path, is_outdated, migrate
from tests.state.old_jobs import COPIES, content, copy_layout_2, layout
from tests.waiting import HANG_SECONDS

OLD = pytest.mark.parametrize("old", [1, 2], ids=["layout 1", "layout 2"])


def schema(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return the columns of each table and each index; the columns that a step added come last."""
    with closing(sqlite3.connect(path)) as database:
        tables = database.execute("SELECT name, type FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'").fetchall()
        return {
            f"{kind} {name}": database.execute(f"PRAGMA {kind}_info({name})").fetchall()
            for name, kind in sorted(tables)
        }


def databases(folder: Path) -> list[str]:
    """Return the names of a job's databases and of what SQLite keeps beside them."""
    return sorted(file.name for file in folder.glob("state.db*"))


@OLD
def test_a_migrated_database_has_the_tables_of_a_new_one(tmp_path: Path, old: int) -> None:
    """The steps and the current tables can't drift apart."""
    migrate(path := COPIES[old](tmp_path))
    migrate(tmp_path / "new.db")
    assert layout(path) == layout(tmp_path / "new.db") == LAYOUT
    assert schema(path) == schema(tmp_path / "new.db")


@OLD
def test_what_an_older_version_paid_for_is_there_afterwards(tmp_path: Path, old: int) -> None:
    """Rows, answers and committed lengths are what they were; the answers' requests are not known."""
    path = COPIES[old](tmp_path)
    before = content(path)
    assert is_outdated(path)
    with open_state(path) as state:
        assert state.ledger.counts() == {State.DONE: 4, State.FAILED: 2}
        assert state.ledger.failures() == {"not-found": 1, "parameter-invalid-value": 1}
        assert state.files.committed("insights.jsonl") == (path.parent / "insights.jsonl").stat().st_size
        assert len(state.known_rows.checkpoints(0, 10)) == (2 if old == 2 else 0)
        assert state.answers.count() == len(before["answers"]) == 9
        for fingerprint, asked_at, status, *_ in before["answers"]:
            exchange = state.answers.exchange(fingerprint)  # type: ignore[arg-type] # as the table has it
            assert exchange is not None
            assert (exchange.request, exchange.answer.asked_at, exchange.answer.status) == (None, asked_at, status)
    assert not is_outdated(path)


@OLD
def test_the_old_database_is_kept_beside_the_new_one(tmp_path: Path, old: int) -> None:
    """The copy is a database of the old layout, whole, with what was still in the write-ahead log; nothing else."""
    path = COPIES[old](tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("INSERT INTO meta VALUES ('written last', 1)")
        before = content(path)
        migrate(path)
    assert content(copy_path(path, old)) == before
    assert layout(copy_path(path, old)) == old
    assert databases(path.parent) == ["state.db", f"state.db.layout-{old}"]


def test_a_copy_is_removed_after_a_month(tmp_path: Path) -> None:
    """It is kept while somebody may want to go back to the older version."""
    path = copy_layout_2(tmp_path)
    migrate(path)
    copy = copy_path(path, 2)
    written = copy.stat().st_mtime
    os.utime(copy, (written, written - COPY_SECONDS + 100))
    migrate(path)
    assert copy.exists()
    os.utime(copy, (written, written - COPY_SECONDS - 100))
    migrate(path)
    assert not copy.exists()


def test_a_database_of_a_newer_layout_is_left_alone(tmp_path: Path) -> None:
    """The sentence says to use the newer version; nothing is written."""
    path = tmp_path / "state.db"
    migrate(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"PRAGMA user_version = {LAYOUT + 1}")
    before = content(path)
    said = r"state\.db was written by a newer version .* run this job with that version, or a later one$"
    with pytest.raises(OutputError, match=said), open_state(path):
        pass
    assert (content(path), layout(path)) == (before, LAYOUT + 1)


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_without_room_for_the_copy_nothing_is_changed(tmp_path: Path) -> None:
    """One sentence names the copy and what to do; the database keeps its layout, and nothing half-written is left."""
    path = copy_layout_2(tmp_path)
    before = content(path)
    said = r"state\.db\.layout-2 can't be written .* Nothing was changed: make room"
    with small_files(path.stat().st_size - 1), pytest.raises(OutputError, match=said):
        migrate(path)
    assert (content(path), layout(path)) == (before, 2)
    assert databases(path.parent) == ["state.db"]
    migrate(path)
    assert layout(path) == LAYOUT


def test_a_step_that_fails_leaves_the_layout_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables and the layout's number change together or not at all; the next run migrates."""
    path = copy_layout_2(tmp_path)
    before = content(path)
    steps = {2: (*migrations._STEPS[2], "SELECT * FROM nowhere")}
    monkeypatch.setattr(migrations, "_STEPS", steps)
    with pytest.raises(OutputError, match=r"state\.db can't be used \(no such table: nowhere\)"):
        migrate(path)
    assert (content(path), layout(path)) == (before, 2)
    monkeypatch.undo()
    migrate(path)
    assert layout(path) == LAYOUT


# Migrates one copy after another, each killed one action later than the one before, until one is finished.
KILL = """
import os, shutil, signal, sqlite3, sys
from pathlib import Path
from pipeline.state import database, migrations

def die_at(number):
    left = [number]
    def act(*_):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    def connect(*args, real=sqlite3.connect, **options):
        connection = real(*args, **options)
        connection.set_trace_callback(act)
        return connection
    sqlite3.connect = connect
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        setattr(os, name, lambda *args, real=real: (act(), real(*args))[1])

old, killed, number = Path(sys.argv[1]), Path(sys.argv[2]), 0
while True:
    folder = killed / str(number)
    shutil.copytree(old, folder)
    if os.fork() == 0:
        die_at(number)
        migrations.migrate(folder / "state.db")
        os._exit(0)
    if os.wait()[1] == 0:
        break
    number += 1
"""


@OLD
def test_a_kill_at_any_instant_leaves_one_layout_or_the_next(tmp_path: Path, project: Path, old: int) -> None:
    """Killed before each statement, sync and rename: no layout in between, and the next run finishes the migration."""
    path = COPIES[old](tmp_path / "old")
    before = content(path)
    migrate(COPIES[old](tmp_path / "done"))
    schemas = {old: schema(path), LAYOUT: schema(tmp_path / "done" / "job" / "state.db")}
    finished = content(tmp_path / "done" / "job" / "state.db")
    command = [sys.executable, "-c", KILL, str(path.parent), str(tmp_path / "killed")]
    subprocess.run(command, cwd=project, check=True, timeout=HANG_SECONDS)
    folders = sorted((tmp_path / "killed").iterdir(), key=lambda folder: int(folder.name))
    assert len(folders) > 20
    layouts = [layout(folder / "state.db") for folder in folders]
    assert layouts == sorted(layouts)
    assert set(layouts) == set(range(old, LAYOUT + 1))
    for folder, left in zip(folders, layouts, strict=True):
        killed = folder / "state.db"
        if left in schemas:
            assert schema(killed) == schemas[left]
        assert left == old or content(copy_path(killed, old)) == before
        migrate(killed)
        assert content(killed) == finished
        assert not list(folder.glob("*.new"))
