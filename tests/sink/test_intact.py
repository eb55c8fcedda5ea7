"""A file of a job that someone else changed is noticed, named with its line, and never written to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import OutputError, UsageError
from pipeline.sink import job_files as job_module
from pipeline.sink.job_files import FAILURES, INSIGHTS, must_exist, open_job
from pipeline.sink.sink import write_batch
from pipeline.state.ledger import State
from tests.rows import finished


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a job of three records and a failure, its files a second old."""
    with open_job(tmp_path) as job:
        write_batch(job, [*(finished(name) for name in "abc"), finished("f", state=State.FAILED, code="x")])
    return tmp_path


Change = Callable[[list[bytes]], list[bytes]]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: [lines[0], lines[1].replace(b'""', b'"edited"'), lines[2]], 2),
        (lambda lines: [lines[0], lines[1][:-1], lines[2]], 2),
        (lambda lines: [lines[0], lines[2]], 2),
        (lambda lines: [lines[0], lines[2], lines[1]], 2),
        (lambda lines: [lines[0][:5] + b"\n" + lines[0][6:], lines[1], lines[2]], 1),
        (lambda lines: [lines[0], lines[1], b"\0" * (len(lines[2]) - 1) + b"\n"], 3),
        (lambda lines: [lines[0], lines[1], b"[" + b" " * (len(lines[2]) - 3) + b"]\n"], 3),
        (lambda lines: [b"\xef\xbb\xbf", *lines], 1),
        (lambda lines: [line.replace(b"\n", b"\r\n") for line in lines], 1),
    ],
    ids=["edited", "glued", "deleted", "swapped", "split", "garbled", "no record", "with BOM", "CRLF"],
)
def test_a_file_that_was_edited_is_refused_with_its_line(folder: Path, change: Change, line: int) -> None:
    """One sentence names file, line and way out; the file stays as it is, byte for byte."""
    path = folder / INSIGHTS
    edited = b"".join(change(path.read_bytes().splitlines(keepends=True)))
    path.write_bytes(edited)
    said = rf"insights\.jsonl, line {line}, is not what.*move the file away"
    with pytest.raises(OutputError, match=said), open_job(folder):
        pass
    assert path.read_bytes() == edited
    path.rename(folder / "aside")
    with open_job(folder) as job:
        assert job.state.ledger.counts() == {State.WAITING: 3, State.FAILED: 1}


def test_failures_are_looked_at_too(folder: Path) -> None:
    """What failures.jsonl lost in its middle is named as well."""
    (folder / FAILURES).write_bytes(b"?" + (folder / FAILURES).read_bytes()[1:])
    with pytest.raises(OutputError, match=r"failures\.jsonl, line 1,"), open_job(folder):
        pass


def test_a_copy_is_as_good_as_the_file(folder: Path) -> None:
    """A file that was only touched, copied back, or has a torn tail, is taken, and looked at once."""
    content = (folder / INSIGHTS).read_bytes()
    (folder / INSIGHTS).unlink()
    (folder / INSIGHTS).write_bytes(content + b'{"id":')
    with open_job(folder) as job:
        assert job.state.ledger.counts()[State.DONE] == 3
    assert (folder / INSIGHTS).read_bytes() == content


def test_an_unchanged_file_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a job costs no look at its lines, also after a file was cut and looked at before."""
    os.utime(folder / INSIGHTS, ns=(5, 5))
    with open_job(folder):
        pass
    monkeypatch.setattr(job_module, "check_lines", lambda *_: pytest.fail("lines were read"))
    with open_job(folder):
        pass


@pytest.mark.parametrize("place", ["nowhere/at/all", "empty", "file"])
def test_no_job_is_made_where_one_must_exist(tmp_path: Path, place: str) -> None:
    """A mistyped folder is named and not made."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((UsageError, OutputError), match=f"{place}"):
        must_exist(tmp_path / place)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_job_that_is_there_exists(folder: Path) -> None:
    """The folder of a job passes."""
    must_exist(folder)
