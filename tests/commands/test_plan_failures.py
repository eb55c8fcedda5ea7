"""A plan says which rows fail without a call, and when a run would end with exit code 3 because of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.commands.plan import make_plan
from pipeline.config import Config
from pipeline.errors import ExitCode
from tests.running import draw, load, write_config


def job_of(folder: Path, good: int, bad: list[str], max_failed: object = "5%") -> Config:
    """Write a job of so many good pictures and some bad lines."""
    for number in range(good):
        draw(folder / "pics" / f"p{number}.png", number, (8, 8))
    lines = [*(f"pics/p{number}.png" for number in range(good)), *bad]
    (folder / "m.txt").write_text("\n".join(lines))
    output = {"max_failed": max_failed, "dir": str(folder / "out")}
    return load(write_config(folder / "job.toml", folder / "m.txt", "http://127.0.0.1:9/v7.0", output=output))


def test_failures_are_shown_by_code(tmp_path: Path) -> None:
    """Lines that are no rows, and pictures that can't be read, are counted apart, the most frequent first."""
    plan = make_plan(job_of(tmp_path, 3, ["../x.png", "pics/P0.png", "pics/q.png", "a.nef", "pics"], max_failed=5))
    assert plan.failures == {"not-found": 2, "outside-root": 1, "unsupported-format": 1, "not-a-file": 1}
    assert (plan.rows, plan.to_ask, plan.failed) == (8, 3, 5)
    lines = plan.text().splitlines()
    at = lines.index("failed            5  (without a call, or before)")
    assert lines[at + 1 : at + 3] == ["  not-found                2", "  outside-root             1"]
    assert lines[-1] == "exit code         1  (done, but some rows fail)"


@pytest.mark.parametrize(
    ("good", "bad", "max_failed", "code"),
    [
        (19, 0, "5%", ExitCode.DONE),
        (19, 1, "5%", ExitCode.SOME_FAILED),
        (19, 2, "5%", ExitCode.ABORTED),
        (1, 1, "5%", ExitCode.SOME_FAILED),
        (1, 1, 0, ExitCode.ABORTED),
        (1, 3, 3, ExitCode.SOME_FAILED),
    ],
)
def test_the_exit_code_is_foretold(tmp_path: Path, good: int, bad: int, max_failed: object, code: ExitCode) -> None:
    """It is the one a run ends with if every call is answered: more failures than max_failed mean 3."""
    plan = make_plan(job_of(tmp_path, good, [f"../{number}.png" for number in range(bad)], max_failed))
    assert plan.exit_code == code
    said = f"({bad} of {good + bad} rows fail, more than output.max_failed allows)"
    assert (said in plan.text()) == (code == ExitCode.ABORTED)
