"""The documentation is true: commands, exit codes, files and examples of README and docs are those of the code."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from typer.main import get_command

from pipeline.cli import app
from pipeline.config import load_config, load_service_config
from pipeline.downloads.errors import FAULTS
from pipeline.errors import ExitCode
from pipeline.providers import settings_models
from pipeline.records import Failure
from pipeline.report.metrics import METRICS_FILE
from pipeline.report.run_json import RUN_FILE
from pipeline.sink.job_files import CHANGES, FAILURES, INSIGHTS
from pipeline.sink.search_summary import SEARCH_FILE
from tests.conftest import PROJECT
from tests.running import draw, lines_of
from tests.test_architecture import ORDER

README = (PROJECT / "README.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (PROJECT / "docs").glob("*.md")}
CRON = PAGES["cron.md"]
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
JOBS = sorted({*(PROJECT / "configs").glob("*.toml")} - {PROJECT / "configs" / "serve.toml"})
COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined] # typer's app is a group of commands
ROW_ERRORS = {"LineError", "SourceError", "DownloadError", "PrepareError", "RequestError"}
SECURITY = (PROJECT / "SECURITY.md").read_text(encoding="utf-8")
ALL = "\n".join([README, SECURITY, *PAGES.values()])
SETS = sorted({value.strip("'") for value in re.findall(r"--set ('[^']+'|[^\s`]+)", ALL)} - {"key.path=value"})
# English that makes a reader stop; style guides have a plain word for each.
HARD_WORDS = re.compile(r"\b(whoever|anew|mend|stands|may be had|tell whether)\b", re.IGNORECASE)


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_every_command_is_in_the_readme_and_every_named_one_exists() -> None:
    """The table of commands is the list of commands."""
    assert sorted(set(re.findall(r"^\| `image-insights (\w+)", README, re.MULTILINE))) == COMMANDS
    assert set(re.findall(r"image-insights (\w+)", ALL)) <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_that_the_readme_names_exists(name: str) -> None:
    """An option in a command's row of the table is one of its options."""
    row = next(line for line in README.splitlines() if line.startswith(f"| `image-insights {name}"))
    options = {option for parameter in get_command(app).commands[name].params for option in parameter.opts}  # type: ignore[attr-defined] # as above
    assert set(re.findall(r"(--[a-z-]+)", row)) <= options


def test_the_exit_codes_are_those_of_the_code() -> None:
    """Every code has its row, and no other has one."""
    named = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", README, re.MULTILINE) for code in row.split(",")}
    assert named == {int(code) for code in ExitCode} | {129, 130, 143}


def test_the_files_of_a_job_are_named() -> None:
    """What lies in output.dir is explained."""
    for name in (INSIGHTS, FAILURES, CHANGES, RUN_FILE, METRICS_FILE, SEARCH_FILE, "state.db", "index/", "service.log"):
        assert f"`{name}`" in README


def test_every_make_target_that_is_named_exists() -> None:
    """`make run`, `make test` and the others work as they stand there."""
    targets = set(re.findall(r"^([a-z][\w-]*):", MAKEFILE, re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z][\w-]*)", ALL, re.MULTILINE))
    assert "run" in named
    assert named <= targets


def anchors(text: str) -> set[str]:
    """Return the names under which a page's headings can be linked to."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "path", [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))], ids=lambda p: p.name
)
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link is a file, and its anchor one of that file's headings."""
    text = path.read_text(encoding="utf-8")
    for target, _, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#([^)]+))?\)", text):
        page = path.parent / target if target else path
        assert page.exists(), target
        assert not anchor or anchor in anchors(page.read_text(encoding="utf-8")), f"{target}#{anchor}"


def test_every_page_is_listed_in_the_readme() -> None:
    """A reader finds each page of docs from the README."""
    assert {name for name in PAGES if f"](docs/{name})" not in README} == set()


@pytest.mark.parametrize("name", ["README.md", *sorted(PAGES), "CHANGELOG.md"])
def test_the_words_are_plain(name: str) -> None:
    """No page uses a word that makes a native reader stop."""
    text = PAGES[name] if name in PAGES else (PROJECT / name).read_text(encoding="utf-8")
    assert HARD_WORDS.findall(text) == []


@pytest.mark.parametrize("example", sorted(set(re.findall(r"image-insights (\w+ [^`\n]*--[^`\n]*)", ALL))))
def test_the_options_of_examples_exist(example: str) -> None:
    """Every option that a page shows with a command is one of that command."""
    command = get_command(app).commands[example.split(maxsplit=1)[0]]  # type: ignore[attr-defined] # as above
    options = {option for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"(?<![\w-])(--[a-z-]+)", example.partition("#")[0])) <= options


@pytest.mark.parametrize("override", SETS)
def test_the_keys_of_examples_exist(override: str) -> None:
    """Every `--set` that a page shows is accepted, by a job or by the service."""
    if override.startswith("service."):
        load_service_config(PROJECT / "configs" / "serve.toml", [override], forced={})
    else:
        load_config(PROJECT / "configs" / "sample.toml", [override], providers=settings_models())


def test_the_config_of_docs_is_a_whole_one(tmp_path: Path) -> None:
    """The examples of docs/config.md load: the first as it is, and with each of the others."""
    whole, *parts = blocks(PAGES["config.md"], "toml")
    for part in ("", *parts):
        (tmp_path / "job.toml").write_text(f"{whole}\n{part}")
        load_config(tmp_path / "job.toml", providers=settings_models())


def test_the_fields_of_docs_are_valid(tmp_path: Path) -> None:
    """The example of docs/providers.md loads with a shipped config, and answers like its own example match it."""
    shipped = (PROJECT / "configs" / "ollama.toml").read_text(encoding="utf-8")
    (fields,), (answer,) = blocks(PAGES["providers.md"], "toml"), blocks(PAGES["providers.md"], "json")
    (tmp_path / "job.toml").write_text(f"{shipped}\n{fields}")
    config = load_config(tmp_path / "job.toml", providers=settings_models())
    schema = config.provider.attributes_schema
    assert schema is not None
    assert Draft202012Validator(schema).is_valid(json.loads(answer))


def test_the_tables_of_the_service_in_docs_are_valid(tmp_path: Path) -> None:
    """The examples of docs/serve.md, added to the shipped config of the service, load."""
    examples = blocks(PAGES["serve.md"], "toml")
    assert len(examples) == 2
    shipped = (PROJECT / "configs" / "serve.toml").read_text(encoding="utf-8")
    (tmp_path / "serve.toml").write_text("\n".join([shipped, *examples]))
    load_service_config(tmp_path / "serve.toml", forced={})


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
    (shell,) = (block for block in blocks(README, "sh") if "image-insights run configs/sample.toml" in block)
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
    """Return the codes that errors of rows are raised with, as literals of the source, and those of faults."""
    codes = {code for _, code, *_ in FAULTS}
    for path in (PROJECT / "pipeline").rglob("*.py"):
        if "service" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name in ROW_ERRORS:
                codes |= {str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    return codes


def test_every_code_of_a_failing_row_is_explained() -> None:
    """docs/failures.md names each; `not-prepared` is a bug of ours that no row can cause."""
    explained = set(re.findall(r"`([a-z0-9-]+)`", PAGES["failures.md"]))
    found = codes_in_the_code()
    assert len(found) > 30
    assert found - explained == {"not-prepared"}


def test_the_example_of_a_failure_is_one() -> None:
    """docs/failures.md shows a line that a run can write."""
    (line,) = blocks(PAGES["failures.md"], "json")
    example = json.loads(line)
    assert example.keys() - {"schema", "at"} <= set(Failure.__dataclass_fields__)
    assert example["code"] in codes_in_the_code()


def test_every_folder_of_the_code_is_in_the_architecture() -> None:
    """The page names each folder and each module beside them, and the folders of the service."""
    code = PROJECT / "pipeline"
    names = {path.stem for path in code.iterdir() if not path.name.startswith("__") and path.suffix in {"", ".py"}}
    names |= {f"service/{path.name}" for path in (code / "service").iterdir() if (path / "__init__.py").exists()}
    assert len(names) > 15
    assert names <= set(re.findall(r"`([\w/]+)`", PAGES["architecture.md"]))


def test_the_order_of_imports_is_the_one_that_is_enforced() -> None:
    """The order that the page shows is that of tests/test_architecture.py."""
    (shown,) = (block for block in blocks(PAGES["architecture.md"], "text") if "\nconfig\n" in block)
    order = [tuple(line.split(", ")) for line in shown.splitlines()]
    assert order == [units for units in ORDER if units != ("__main__",)]


def test_documents_are_cited_by_their_names(project: Path) -> None:
    """A reader finds each source that the code names in docs/protocol.md."""
    numbered = re.compile(r"references? 00[0-4]|\(00[0-4]")
    sources = [path for folder in ("pipeline", "tests") for path in sorted((project / folder).rglob("*.py"))]
    assert [path.name for path in sources if numbered.search(path.read_text(encoding="utf-8"))] == []
