"""What is private belongs to its owner alone, whatever the umask is, and no planted link is followed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.errors import OutputError
from pipeline.guards.private_files import make_private_folder, open_private, private_database
from tests.permissions import mode, open_to_others, plant, umask

MASKS = [0o000, 0o022, 0o077, 0o777]


@pytest.mark.parametrize("mask", MASKS)
def test_new_folders_are_private(tmp_path: Path, mask: int) -> None:
    """Those above it too: who may write there could put another folder in its place."""
    with umask(mask):
        make_private_folder(tmp_path / "a" / "b" / "c")
    assert [mode(tmp_path / name) for name in ("a", "a/b", "a/b/c")] == [0o700] * 3


def test_a_folder_that_was_there_keeps_its_permissions(tmp_path: Path) -> None:
    """It may be shared on purpose."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o770)
    make_private_folder(tmp_path / "shared" / "own")
    assert [mode(tmp_path / name) for name in ("shared", "shared/own")] == [0o770, 0o700]


def test_a_folder_may_be_a_link_of_the_user_and_no_planted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large disk elsewhere is fine."""
    (tmp_path / "own").symlink_to(tmp_path / "elsewhere")
    make_private_folder(tmp_path / "own")
    assert mode(tmp_path / "elsewhere") == 0o700
    plant(tmp_path / "planted", tmp_path / "elsewhere", monkeypatch)
    with pytest.raises(OutputError, match="planted is a symbolic link that another user has made"):
        make_private_folder(tmp_path / "planted")


@pytest.mark.parametrize("mask", MASKS)
def test_files_are_private(tmp_path: Path, mask: int) -> None:
    """Also those that others could read before."""
    (tmp_path / "old").write_bytes(b"old ")
    (tmp_path / "old").chmod(0o666)
    with umask(mask):
        for name in ("old", "new"):
            with open_private(tmp_path / name, "ab") as file:
                file.write(b"more")
    assert [(tmp_path / name).read_bytes() for name in ("old", "new")] == [b"old more", b"more"]
    assert [mode(tmp_path / name) for name in ("old", "new")] == [0o600] * 2


def test_no_file_is_written_through_a_link(tmp_path: Path) -> None:
    """Not even through the user's own."""
    (target := tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(OutputError, match="link is a symbolic link, which is not followed"):
        open_private(tmp_path / "link", "wb")
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("mask", [0o000, 0o022])
@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_a_database_is_private_with_what_is_kept_beside_it(tmp_path: Path, mask: int, journal: str) -> None:
    """Before SQLite writes the first byte."""
    tmp_path.chmod(0o700)
    with umask(mask), closing(sqlite3.connect(private_database(tmp_path / "a.db"), isolation_level=None)) as database:
        database.execute(f"PRAGMA journal_mode = {journal}")
        database.execute("BEGIN")
        database.execute("CREATE TABLE t (x)")
        assert len(list(tmp_path.iterdir())) > 1
        assert not open_to_others(tmp_path)
        database.execute("COMMIT")


@pytest.mark.parametrize("name", ["a.db", "a.db-wal", "a.db-shm", "a.db-journal"])
def test_no_part_of_a_database_is_a_link(tmp_path: Path, name: str) -> None:
    """SQLite would write to what it leads to."""
    (tmp_path / name).symlink_to(tmp_path / "target")
    with pytest.raises(OutputError, match=f"{name} is a symbolic link"):
        private_database(tmp_path / "a.db")
    assert not (tmp_path / "target").exists()
