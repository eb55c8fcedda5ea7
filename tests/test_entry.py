"""The command's end is true whatever happens to it: closed and full streams, broken imports, no memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import draw, lines_of
from tests.waiting import HANG_SECONDS

MAIN = "from pipeline.entry import main; main()"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """Return a job over one broken picture, which ends with exit code 1 without any call."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.jpg").write_bytes(b"no picture")
    draw(tmp_path / "catalogue" / "b.png", 1)
    config = tmp_path / "job.toml"
    config.write_text(
        f"[manifest]\npath = '{tmp_path}/pictures'\n[provider]\nname = 'local'\ncatalogue = '{tmp_path}/catalogue'\n"
        f"[output]\ndir = '{tmp_path}/out'\nmax_failed = 5\n"
    )
    return config


def shell(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a shell script in which $COMMAND is the command line."""
    environment = {**os.environ, "COMMAND": f"{sys.executable} -m pipeline"}
    line = ["sh", "-c", script, "sh", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment, check=False, timeout=HANG_SECONDS)


@pytest.mark.parametrize("streams", [">/dev/full", ">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_lost_streams_change_no_verdict(job: Path, streams: str) -> None:
    """The run is done and says so by its exit code; its files are whole."""
    assert shell(f'$COMMAND run "$1" {streams}', job).returncode == 1
    check_files(job)


def test_a_reader_that_goes_away_changes_no_verdict(job: Path) -> None:
    """`image-insights run | head` is as good as any other run."""
    done = shell('{ $COMMAND run "$1"; echo $? >&2; } | true', job)
    assert done.stderr.split()[-1] == "1"
    check_files(job)


def check_files(job: Path) -> None:
    """Check that no stream was written into a file of the job."""
    out = job.parent / "out"
    assert [failure["id"] for failure in lines_of(out / "failures.jsonl")] == ["a.jpg"]
    assert (out / "state.db").read_bytes().startswith(b"SQLite format 3\0")


def test_a_command_that_can_not_print_says_so(job: Path) -> None:
    """What plan is for is what it prints; a reader that has seen enough is no error."""
    full = shell('$COMMAND plan "$1" >/dev/full', job)
    assert (full.returncode, full.stderr) == (3, "image-insights: stdout can't be written (No space left on device)\n")
    piped = shell('{ $COMMAND plan "$1"; echo $? >&2; } | true', job)
    assert piped.stderr.strip() == "0"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("sys.modules['orjson'] = None", "ModuleNotFoundError: import of orjson halted"),
        ("import pipeline.cli; pipeline.cli.app = lambda: [0] * 10**18", "MemoryError"),
        ("import pipeline.cli; pipeline.cli.app = lambda: 1 / 0", "ZeroDivisionError: division by zero"),
    ],
    ids=["an import that fails", "no memory", "a bug"],
)
def test_what_nobody_expected_is_exit_code_3(job: Path, broken: str, said: str) -> None:
    """One sentence on stderr, no traceback, and never the 1 that cron takes for success."""
    line = [sys.executable, "-c", f"import sys; {broken}; {MAIN}", "run", str(job)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=HANG_SECONDS)
    assert done.returncode == 3
    assert done.stderr.startswith(f"image-insights: unexpected: {said}")
    assert done.stderr.count("\n") == 1


def test_a_usage_error_is_exit_code_2(job: Path) -> None:
    """A mistyped option is told by the command line's own parser."""
    done = shell('$COMMAND run "$1" --limt 3', job)
    assert done.returncode == 2
    assert "--limt" in done.stderr
