"""The documentation is true: commands, exit codes, files and examples of README and docs are those of the code."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from pipeline.cli import app
from pipeline.config import load_config
from pipeline.errors import ExitCode
from pipeline.providers import settings_models
from pipeline.report.metrics import METRICS_FILE
from pipeline.report.run_json import RUN_FILE
from pipeline.sink.job_files import FAILURES, INSIGHTS
from tests.conftest import PROJECT
from tests.running import draw, lines_of

README = (PROJECT / "README.md").read_text(encoding="utf-8")
CRON = (PROJECT / "docs" / "cron.md").read_text(encoding="utf-8")
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
JOBS = sorted({*(PROJECT / "configs").glob("*.toml")} - {PROJECT / "configs" / "serve.toml"})
COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined] # typer's app is a group of commands


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_every_command_is_in_the_readme_and_every_named_one_exists() -> None:
    """The table of commands is the list of commands."""
    assert sorted(set(re.findall(r"^\| `image-insights (\w+)", README, re.MULTILINE))) == COMMANDS
    assert set(re.findall(r"image-insights (\w+)", README + CRON)) <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_that_the_readme_names_exists(name: str) -> None:
    """An option in a command's row of the table is one of its options."""
    row = next(line for line in README.splitlines() if line.startswith(f"| `image-insights {name}"))
    options = {option for parameter in get_command(app).commands[name].params for option in parameter.opts}  # type: ignore[attr-defined] # as above
    assert set(re.findall(r"(--[a-z-]+)", row)) <= options


def test_the_exit_codes_are_those_of_the_code() -> None:
    """Every code has its row, and no other has one."""
    named = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", README, re.MULTILINE) for code in row.split(",")}
    assert named == {int(code) for code in ExitCode} | {130, 143}


def test_the_files_of_a_job_are_named() -> None:
    """What lies in output.dir is explained."""
    for name in (INSIGHTS, FAILURES, RUN_FILE, METRICS_FILE, "state.db", "index/", "service.log"):
        assert f"`{name}`" in README


def test_every_make_target_that_is_named_exists() -> None:
    """`make run`, `make test` and the others work as they stand there."""
    targets = set(re.findall(r"^([a-z][\w-]*):", MAKEFILE, re.MULTILINE))
    assert set(re.findall(r"make ([a-z][\w-]*)", README)) <= targets


def test_links_lead_somewhere() -> None:
    """Every relative link of README and docs is a file."""
    for path in (PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_every_config_that_is_shipped_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They load as they stand, from the folder of the checkout."""
    monkeypatch.chdir(PROJECT)
    assert Path(load_config(path, providers=settings_models()).manifest.path).exists()


def test_the_config_of_the_readme_is_the_sample(tmp_path: Path) -> None:
    """The example is a whole config, and it is what `make run` does."""
    (example,) = blocks(README, "toml")
    (tmp_path / "job.toml").write_text(example)
    assert tomllib.loads(example) == tomllib.loads((PROJECT / "configs" / "sample.toml").read_text())
    load_config(tmp_path / "job.toml", providers=settings_models())


def test_the_crontab_line_and_the_unit_run_a_config_that_is_there() -> None:
    """What docs/cron.md shows can be copied."""
    assert len(re.findall(r"image-insights run (configs/nightly\.toml) --quiet", CRON)) == 2
    assert "SuccessExitStatus=1 5 6 7 143" in CRON


def test_the_sample_ends_as_the_readme_says(tmp_path: Path) -> None:
    """The commands of `The main job` run as they stand; one broken picture fails, and a second run makes no call.

    Only text is left out: reading it takes half a minute.
    """
    (shell,) = (block for block in blocks(README, "sh") if "configs/sample.toml" in block)
    lines = [line.split("#")[0].strip() for line in shell.splitlines() if line.startswith("image-insights")]
    assert len(lines) == 2
    for line in lines:
        words = [sys.executable, "-m", "pipeline", *shlex.split(line)[1:], "--set", f"output.dir={tmp_path / 'out'}"]
        words += ["--set", "provider.text=false"]
        for expected in (r"\d+ records written, 0 done before, 1 failed", r"0 records written, .* 0 calls"):
            done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False, env=dict(os.environ))
            assert done.returncode == 1, done.stderr
            assert re.search(expected, done.stdout)
        (failure,) = lines_of(tmp_path / "out" / FAILURES)
        assert (failure["code"], failure["line"] > 1) == ("truncated", True)
        for path in (tmp_path / "out").glob("*.*"):
            path.unlink()


def test_the_example_of_the_library_runs(tmp_path: Path) -> None:
    """It is a whole program; here it does two pictures in the place of the sample."""
    for number in range(2):
        draw(tmp_path / "pictures" / f"{number}.png", number)
    config = (PROJECT / "configs" / "folder.toml").read_text(encoding="utf-8")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "sample.toml").write_text(
        re.sub(r"(?m)^path = .*$", f'path = "{tmp_path}/pictures"', config), encoding="utf-8"
    )
    (example,) = blocks(README, "python")
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("0 finished: 2 records written"), done.stderr
    assert (tmp_path / "out" / "library" / INSIGHTS).exists()


def codes_in_the_code() -> set[str]:
    """Return the codes that errors of rows are raised with, as literals of the source."""
    codes: set[str] = set()
    for path in (PROJECT / "pipeline").rglob("*.py"):
        if "service" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name in {"LineError", "SourceError", "PrepareError", "RequestError"}:
                codes |= {str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    return codes


def test_every_code_of_a_failing_row_is_explained() -> None:
    """docs/failures.md names each; `not-prepared` is a bug of ours that no row can cause."""
    explained = set(re.findall(r"`([a-z0-9-]+)`", (PROJECT / "docs" / "failures.md").read_text(encoding="utf-8")))
    found = codes_in_the_code()
    assert len(found) > 30
    assert found - explained == {"not-prepared"}
