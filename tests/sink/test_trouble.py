"""Files that can't be read or written are reported in one clear sentence that names them."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.errors import OutputError
from pipeline.fetch.quota import Quota, QuotaLimits
from pipeline.sink.compact import rewrite
from pipeline.sink.finish import compact_job
from pipeline.sink.job_files import DATABASE, open_job
from pipeline.sink.sink import write_batch
from pipeline.state.ledger import State
from tests.rows import finished, paid


def _garble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xaa" * (len(content) - 4096)
    path.write_bytes(content)


def _be_a_folder(path: Path) -> None:
    path.unlink()
    (path / "x").mkdir(parents=True)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(_garble, r"state\.db is damaged .*sqlite3 state\.db \.recover \| sqlite3", id="garbled"),
        pytest.param(_be_a_folder, r"state\.db can't be used", id="a folder"),
    ],
)
def test_a_broken_database_is_reported_when_the_job_is_opened(
    tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    """Nothing is overwritten."""
    with open_job(tmp_path) as job:
        write_batch(job, [finished("a")])
        job.state.answers.put([(paid().fingerprint, paid().request, paid().answer)])
    content = (tmp_path / "insights.jsonl").read_bytes()
    spoil(tmp_path / DATABASE)
    with pytest.raises(OutputError, match=said), open_job(tmp_path) as job:
        job.state.ledger.counts()
    assert (tmp_path / "insights.jsonl").read_bytes() == content


def test_a_copy_beside_a_damaged_database_is_named(tmp_path: Path) -> None:
    """It is what a migration left there."""
    with open_job(tmp_path):
        pass
    (tmp_path / DATABASE).write_bytes(b"no database" * 1000)
    (tmp_path / "state.db.layout-2").touch()
    with (
        pytest.raises(OutputError, match=r"or go back to the copy beside it \(state\.db\.layout-2\)"),
        open_job(tmp_path),
    ):
        pass


@pytest.mark.parametrize("is_there", [False, True], ids=["gone", "recovered without its tables"])
def test_the_price_of_a_lost_database_is_named(tmp_path: Path, *, is_there: bool) -> None:
    """Moving the output away is possible, but costs every call again; nothing is cut from it."""
    with open_job(tmp_path) as job:
        write_batch(job, [finished("a")])
    (tmp_path / DATABASE).unlink()
    if is_there:
        with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
            database.execute("VACUUM")
    with pytest.raises(OutputError, match=r"restore state\.db .* every picture is paid for again$"), open_job(tmp_path):
        pass


@pytest.mark.parametrize("name", ["insights.jsonl", "failures.jsonl", "reserve", "lock"])
def test_a_folder_in_place_of_a_file_is_reported(tmp_path: Path, name: str) -> None:
    """What can't be written is named, and the job opens once it is out of the way."""
    (tmp_path / name).mkdir()
    said = rf"{name}.* (can't be written|exists without)|{tmp_path} can't"
    with pytest.raises(OutputError, match=said), open_job(tmp_path):
        pass
    (tmp_path / name).rmdir()
    with open_job(tmp_path):
        pass


def test_a_compaction_that_can_not_be_written_leaves_the_file(tmp_path: Path) -> None:
    """It is reported, and the file and its lines stay."""
    (tmp_path / "insights.jsonl.new").mkdir()
    with open_job(tmp_path) as job:
        write_batch(job, [finished("a"), finished("b")])
        write_batch(job, [finished("a", " again")])
        content = (tmp_path / "insights.jsonl").read_bytes()
        with pytest.raises(OutputError, match=r"insights\.jsonl\.new can't be written"):
            compact_job(job, False, 0)
    with open_job(tmp_path) as job:
        assert job.state.ledger.counts() == {State.DONE: 2}
    assert (tmp_path / "insights.jsonl").read_bytes() == content


def test_a_rewriting_that_is_interrupted_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    """A signal in the middle of it: the half-written file is gone, the old one and its lines stay."""

    def interrupt(_: bytes, __: bytes) -> bytes:
        raise KeyboardInterrupt

    with open_job(tmp_path) as job:
        write_batch(job, [finished("a"), finished("b")])
        content = (tmp_path / "insights.jsonl").read_bytes()
        with pytest.raises(KeyboardInterrupt):
            rewrite(job.state.files, "insights.jsonl", tmp_path / "insights.jsonl", (State.DONE,), interrupt)
        assert not (tmp_path / "insights.jsonl.new").exists()
    with open_job(tmp_path) as job:
        assert job.state.ledger.counts() == {State.DONE: 2}
    assert (tmp_path / "insights.jsonl").read_bytes() == content


def test_a_folder_below_a_file_is_reported(tmp_path: Path) -> None:
    """The output folder can't be made."""
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="can't be written"), open_job(tmp_path / "file" / "out"):
        pass


def test_a_full_disk_is_reported_when_the_job_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not even the lock can say whose it is, the sentence is still one of ours."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("pwrite", "posix_fallocate"):
        monkeypatch.setattr(os, name, full)
    with pytest.raises(OutputError, match=r"reserve can't be written.* 4 MiB"), open_job(tmp_path):
        pass


def test_a_count_of_calls_that_breaks_is_reported(tmp_path: Path) -> None:
    """Asking how many calls were made raises an OutputError that names the file."""
    with closing(Quota(tmp_path / "calls.db", "a", QuotaLimits())) as quota:
        with closing(sqlite3.connect(tmp_path / "calls.db", isolation_level=None)) as other:
            other.execute("DROP TABLE calls")
        with pytest.raises(OutputError, match=r"calls\.db can't be kept"):
            quota.used()


FILL = """
import sys
from pathlib import Path
from pipeline.errors import OutputError
from pipeline.sink.job_files import open_job
from pipeline.sink.sink import write_batch
from tests.rows import REQUEST, finished, make_answer
import os
try:
    with open_job(Path(sys.argv[1])) as job:
        for number in range(100_000):
            job.state.answers.put([(number.to_bytes(32, "big"), REQUEST, make_answer(os.urandom(20_000)))])
            write_batch(job, [finished(str(number), "x" * 20_000)])
except OutputError as exc:
    print(number, exc)
"""


def test_files_that_may_not_grow_stop_a_job_that_goes_on_afterwards(tmp_path: Path, project: Path) -> None:
    """A limit on the size of files is reported like a full disk; what was committed is there when it is lifted."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))

    line = [sys.executable, "-c", FILL, str(tmp_path / "out")]
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, cwd=project, env=dict(os.environ), preexec_fn=limit
    )
    number, _, said = done.stdout.partition(" ")
    assert "can't be" in said, done.stderr
    with open_job(tmp_path / "out") as job:
        assert int(number) - 1 <= sum(job.state.ledger.counts().values()) <= int(number)
