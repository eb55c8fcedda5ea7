"""The files of a job: links of the user stay links, planted ones are refused, and what is private stays private."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from pipeline.errors import OutputError
from pipeline.sink.finish import compact_job
from pipeline.sink.job_files import FAILURES, INSIGHTS, open_job
from pipeline.sink.output import write_atomically
from pipeline.sink.sink import write_batch
from pipeline.state.migrations import copy_path, migrate
from tests.permissions import mode, plant, umask
from tests.rows import finished
from tests.state.old_jobs import copy_layout_2


@pytest.mark.parametrize("name", [INSIGHTS, FAILURES])
def test_an_output_that_the_user_has_linked_stays_a_link(tmp_path: Path, name: str) -> None:
    """Through appending, compaction and opening again; its lines are in the file that it leads to."""
    out, target = tmp_path / "out", tmp_path / "elsewhere" / "lines"
    target.parent.mkdir()
    out.mkdir()
    (out / name).symlink_to(target)
    with open_job(out) as job:
        write_batch(job, [finished("a"), finished("b")])
        write_batch(job, [finished("a", " again")])
        compact_job(job, False, 0)
    with open_job(out) as job:
        write_batch(job, [finished("c")])
    assert (out / name).is_symlink()
    assert not list(out.glob("*.new"))
    lines = [orjson.loads(line)["id"] for line in (out / INSIGHTS).read_bytes().splitlines()]
    assert lines == ["b", "a", "c"]
    assert target.exists()


@pytest.mark.parametrize("name", [INSIGHTS, FAILURES])
def test_an_output_that_another_user_has_linked_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence names the link, and what it leads to is untouched."""
    (target := tmp_path / "target").write_text("precious")
    (tmp_path / "out").mkdir()
    plant(tmp_path / "out" / name, target, monkeypatch)
    with pytest.raises(OutputError, match=rf"{name} is a symbolic link that another user has made"):  # noqa: SIM117 - the match is read first
        with open_job(tmp_path / "out"):
            pass
    assert target.read_text() == "precious"


@pytest.mark.parametrize("name", ["state.db", "state.db-wal", "state.db-shm", "lock", "reserve"])
def test_no_other_file_is_ever_a_link(tmp_path: Path, name: str) -> None:
    """Not even the user's own: nothing is written to what it leads to."""
    (target := tmp_path / "target").write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(target)
    with pytest.raises(OutputError, match=rf"{name} is a symbolic link, which is not followed"):  # noqa: SIM117 - the match is read first
        with open_job(tmp_path / "out"):
            pass
    assert (target.read_text(), mode(target) & 0o044) == ("precious", 0o044)


def test_a_file_that_is_replaced_follows_no_link(tmp_path: Path) -> None:
    """Neither the file itself nor the one that is written beside it first."""
    (target := tmp_path / "target").write_text("precious")
    (tmp_path / "run.json").symlink_to(target)
    (tmp_path / f".run.json.{os.getpid()}").symlink_to(target)
    write_atomically(tmp_path / "run.json", b"{}")
    assert (target.read_text(), (tmp_path / "run.json").read_text()) == ("precious", "{}")
    with open_job(tmp_path / "out") as job:
        write_batch(job, [finished("a")])
        write_batch(job, [finished("a")])
        (tmp_path / "out" / "insights.jsonl.new").symlink_to(target)
        compact_job(job, False, 0)
    assert target.read_text() == "precious"
    assert not (tmp_path / "out" / INSIGHTS).is_symlink()


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_outputs_follow_the_umask_alike_and_state_is_private(tmp_path: Path, mask: int) -> None:
    """Also after a compaction, and for what SQLite keeps beside its file."""
    out = tmp_path / "out"
    with umask(mask), open_job(out) as job:
        write_batch(job, [finished("a")])
        write_batch(job, [finished("a")])
        compact_job(job, False, 0)
        write_atomically(out / "run.json", b"{}")
        names = ("state.db", "state.db-wal", "state.db-shm", "lock", "reserve")
        assert {name: mode(out / name) for name in names} == dict.fromkeys(names, 0o600)
        shared = (INSIGHTS, FAILURES, "run.json")
        assert {name: mode(out / name) for name in shared} == dict.fromkeys(shared, 0o666 & ~mask)
    assert mode(out) == 0o777 & ~mask


def test_a_state_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    """As an older version left it; the copy that a migration keeps is private too."""
    path = copy_layout_2(tmp_path)
    path.chmod(0o644)
    with umask(0):
        migrate(path)
    assert (mode(path), mode(copy_path(path, 2))) == (0o600, 0o600)


def test_permissions_that_the_user_gave_outlive_a_compaction(tmp_path: Path) -> None:
    """The new file has those of the old one."""
    with open_job(tmp_path) as job:
        write_batch(job, [finished("a")])
        write_batch(job, [finished("a")])
        (tmp_path / INSIGHTS).chmod(0o640)
        compact_job(job, False, 0)
    assert mode(tmp_path / INSIGHTS) == 0o640
