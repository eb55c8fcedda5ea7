"""The commands as a user types them: what they print, where, and the code they exit with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import anyio
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.commands.check import check
from pipeline.errors import KeyRefused, UsageError
from pipeline.runner.job import run
from tests.running import (
    KEY,
    KEY_ENV,
    Service,
    draw,
    lines_of,
    load,
    run_once,
    running_service,
    write_config,
    write_manifest,
)
from tests.waiting import HANG_SECONDS, wait_until


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        draw(folder / f"p{number}.png", number)
    with running_service(tmp_path_factory.mktemp("service"), folder) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, service: Service) -> Path:
    service.faults()
    os.truncate(service.journal, 0)
    rows = [{"id": f"r{n}", "image": f"p{n}.png"} for n in range(3)] + [{"id": "bad", "image": "../x.png"}]
    for number in range(3):
        draw(tmp_path / f"p{number}.png", number)
    return write_config(tmp_path / "job.toml", write_manifest(tmp_path / "manifest.csv", rows), service.endpoint)


def command(*words: str | Path, key: str = KEY, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run image-insights in a process of its own."""
    environment = {**os.environ, KEY_ENV: key}
    line = [sys.executable, "-m", "pipeline", *map(str, words)]
    return subprocess.run(
        line, input=stdin, capture_output=True, text=True, env=environment, check=False, timeout=HANG_SECONDS
    )


def test_run_prints_one_line_and_says_what_it_did(config: Path) -> None:
    """One summary line on stdout, nothing on stderr off a terminal; --quiet prints nothing."""
    done = command("run", config)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("finished: 3 records written, 0 done before, 1 failed, 3 calls")
    assert done.stdout.count("\n") == 1
    again = command("run", config, "--quiet")
    assert (again.returncode, again.stdout, again.stderr) == (1, "", "")
    assert json.loads(command("report", config, "--json").stdout)["rows"]["done_before"] == 3


def test_plan_status_retry_and_renormalise(config: Path, service: Service) -> None:
    """Each tells what it found or did; none of them makes a call."""
    assert "calls needed      3" in command("plan", config).stdout
    assert command("status", config).returncode == 2
    assert command("run", config).returncode == 1
    status = command("status", config).stdout
    assert "records         3" in status
    assert "outside-root" in status
    assert command("retry", config, "--code", "no-such-code").stdout.startswith("no row was marked")
    assert command("retry", config).stdout.startswith("the next run tries 1 failed row again")
    assert command("renormalise", config).stdout.startswith("3 records rebuilt")
    assert len(service.seen()) == 3


def test_check_finds_what_is_wrong_before_the_night(config: Path, service: Service) -> None:
    """A missing key, a missing column, and with --call a key the service refuses, each with its exit code."""
    good = command("check", config)
    assert good.returncode == 0, good.stderr
    assert "key       present" in good.stdout
    missing = command("check", config, key="")
    assert (missing.returncode, KEY_ENV in missing.stderr) == (2, True)
    column = command("check", config, "--set", "manifest.columns.image=picture")
    assert (column.returncode, "picture" in column.stderr) == (2, True)
    assert service.seen() == []
    called = command("check", config, "--call")
    assert called.returncode == 0, called.stderr
    assert len(service.seen()) == 1
    service.faults({"kind": "error", "status": 401, "code": "InvalidAuthorization", "times": 5})
    refused = command("check", config, "--call")
    assert (refused.returncode, KEY in refused.stderr) == (4, False)
    assert f"{service.endpoint} refused the key in the environment variable {KEY_ENV}" in refused.stderr
    service.faults()


def test_a_canary_call_is_made_or_says_why_not(config: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that need no call are passed over; where every row is done the first is asked again, beside the job."""
    monkeypatch.setenv(KEY_ENV, KEY)
    manifest, job = config.parent / "manifest.csv", load(config)
    header, *rows = manifest.read_text().splitlines()
    manifest.write_text("\n".join([header, rows[-1], *rows[:-1]]) + "\n")
    assert "1 record written" in list(check(job, run_once))[-1]
    assert len(service.seen()) == 1
    anyio.run(run, job)
    before = (config.parent / "out" / "insights.jsonl").read_bytes()
    assert "every row is done, so the first one was asked again" in list(check(job, run_once))[-1]
    assert len(service.seen()) == 4
    assert (config.parent / "out" / "insights.jsonl").read_bytes() == before
    service.faults({"kind": "error", "status": 401, "code": "InvalidAuthorization", "times": 5})
    with pytest.raises(KeyRefused, match=KEY_ENV):
        list(check(job, run_once))
    service.faults()
    manifest.write_text("\n".join([header, *[rows[-1]] * 30]) + "\n")
    with pytest.raises(UsageError, match="no call was made: none of the first 20 rows"):
        list(check(job, run_once))


@pytest.mark.parametrize("name", ["status", "report", "retry", "renormalise", "plan"])
def test_a_mistyped_folder_is_told_and_not_made(config: Path, name: str) -> None:
    """What needs a job says where there is none and leaves nothing; a plan says that it would be new."""
    nowhere = config.parent / "nowhere"
    result = CliRunner().invoke(app, [name, str(config), "--set", f"output.dir={nowhere}"])
    if name == "plan":
        assert "there is no job in output.dir yet" in result.stdout
    else:
        assert isinstance(result.exception, UsageError)
        assert (result.exception.exit_code, result.stdout) == (2, "")
        assert str(nowhere) in str(result.exception)
    assert not nowhere.exists()


def test_errors_a_user_makes_are_sentences_and_exit_code_2(config: Path, tmp_path: Path) -> None:
    """Every problem of the config at once, with its key path and a suggestion; no traceback anywhere."""
    wrong = command("run", config, "--set", "limits.qsp=3", "--set", "retry.attempts=0", "--set", "output.dri=x")
    assert wrong.returncode == 2
    assert "limits.qsp: there is no such key; did you mean 'qps'?" in wrong.stderr
    assert "retry.attempts" in wrong.stderr
    assert "'dir'" in wrong.stderr
    for words in (["run"], ["run", tmp_path / "no.toml"], ["fly"], ["run", config, "--set", "manifest.path=no.csv"]):
        result = command(*words)
        assert result.returncode == 2, words
        assert "Traceback" not in result.stderr


def test_a_manifest_may_come_from_stdin(config: Path, tmp_path: Path) -> None:
    """Names on stdin, resolved below the root."""
    sets = ["--set", "manifest.path=-", "--set", f"manifest.root={tmp_path}"]
    result = command("run", config, *sets, stdin="p0.png\np1.png\n")
    assert result.returncode == 0, result.stderr
    assert sorted(record["id"] for record in lines_of(tmp_path / "out" / "insights.jsonl")) == ["p0.png", "p1.png"]


def test_renormalising_waits_for_no_manifest_from_stdin(config: Path, tmp_path: Path, service: Service) -> None:
    """Where such rows have lost their lines it says so at once and changes nothing; a run makes them anew for free."""
    words = [str(config), "--set", "manifest.path=-", "--set", f"manifest.root={tmp_path}"]
    assert command("run", *words, stdin="p0.png\np1.png\n").returncode == 0
    (tmp_path / "out" / "insights.jsonl").unlink()
    line = [sys.executable, "-m", "pipeline", "renormalise", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as idle:
        assert idle.stderr
        assert (idle.wait(timeout=HANG_SECONDS), idle.stderr.read().count("\n")) == (2, 1)
    assert "2 rows have lost their lines" in command("renormalise", *words).stderr
    assert "2 records written" in command("run", *words, stdin="p0.png\np1.png\n").stdout
    assert command("renormalise", *words).stdout.startswith("2 records rebuilt")
    assert len(service.seen()) == 2


# What a command has open when a signal comes: a plan without a job, in the middle of its pictures.
PLANNING = """
import os, signal, sys, tempfile
from pathlib import Path
from pipeline.commands.row_requests import RowRequests
from pipeline.entry import main

number = int(sys.argv.pop())

def stop(*_):
    assert list(Path(tempfile.gettempdir()).glob("*/state.db"))
    os.kill(os.getpid(), number)
    raise AssertionError("the signal was not obeyed")

RowRequests.picture = stop
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_leaves_nothing_temporary(config: Path, tmp_path: Path, number: signal.Signals) -> None:
    """A plan that is interrupted removes the database it made for itself, with one line and its exit code."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    line = [sys.executable, "-c", PLANNING, "plan", str(config), str(int(number))]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    done = subprocess.run(line, capture_output=True, text=True, env=environment, check=False, timeout=HANG_SECONDS)
    assert (done.returncode, done.stdout) == (128 + number, "")
    assert done.stderr == f"image-insights: stopped by {number.name}\n"
    assert list(temporary.iterdir()) == []


# A thread that is at work for longer than anyone waits.
BUSY = """
import os, signal, sys, threading, time
import pipeline.cli
from pipeline.entry import main

def work():
    threading.Thread(target=time.sleep, args=(600,)).start()
    print("at work", flush=True)
    time.sleep(600)

pipeline.cli.main = work
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_second_signal_waits_for_no_thread(number: signal.Signals) -> None:
    """The first one says its line and waits for what a thread has in work; the second ends the process at once."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "at work\n"
        process.send_signal(number)
        assert process.stderr.readline() == f"image-insights: stopped by {number.name}\n"
        process.send_signal(number)
        assert (process.wait(timeout=HANG_SECONDS), process.stderr.read()) == (-number, "")


# An isolated decoder that is dead already when the run ends it: asyncio's watcher finds no such child any more.
REAPED = """
import logging
import pipeline.cli
from pipeline.entry import main

def warn(*_):
    logging.getLogger("asyncio").warning("Unknown child process pid 1, will report returncode 255")
    raise SystemExit(0)

pipeline.cli.load_config = warn
main()
"""


def test_asyncio_warns_nobody(config: Path) -> None:
    """Off a terminal stderr holds nothing but what a user can act on."""
    line = [sys.executable, "-c", REAPED, "run", str(config)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=HANG_SECONDS)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stray_file_in_the_working_folder_is_not_run(config: Path, tmp_path: Path) -> None:
    """Whatever lies where cron calls the command, the processes it starts import their own modules."""
    folder = tmp_path / "stray"
    folder.mkdir()
    (folder / "pickle.py").write_text("raise SystemExit('stray')")
    config.write_text(config.read_text() + "\n[prepare]\nisolate = true\n")
    line = [sys.executable, "-P", "-c", "from pipeline.entry import main; main()", "run", str(config)]
    environment = {**os.environ, KEY_ENV: KEY}
    environment.pop("PYTHONSAFEPATH", None)
    done = subprocess.run(
        line, cwd=folder, capture_output=True, text=True, env=environment, check=False, timeout=HANG_SECONDS
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("finished: 3 records written")


def test_a_second_run_exits_with_7(config: Path, service: Service) -> None:
    """Cron runs may overlap: the second one leaves at once and says who is at work."""
    service.faults({"kind": "hang", "times": 100})
    environment = {**os.environ, KEY_ENV: KEY}
    with subprocess.Popen([sys.executable, "-m", "pipeline", "run", str(config), "--quiet"], env=environment) as first:
        reserve = config.parent / "out" / "reserve"
        wait_until(lambda: reserve.exists() or first.poll() is not None, "the first run is at work")
        second = command("run", config)
        first.kill()
    assert (second.returncode, f"process {first.pid}" in second.stderr) == (7, True)
    service.faults()
    assert command("run", config).returncode == 1


def test_the_local_backend_needs_no_endpoint_and_no_key(tmp_path: Path) -> None:
    """The embedded service is started for the run, answers from its own pictures, and is gone afterwards."""
    for number in range(3):
        draw(tmp_path / "pictures" / f"p{number}.png", number)
    text = f'[manifest]\npath = "{tmp_path}/pictures"\n[provider]\nname = "local"\ntext = false\n[limits]\nqps = 0\n'
    (tmp_path / "job.toml").write_text(f'{text}[output]\ndir = "{tmp_path}/out"\n')
    result = command("run", tmp_path / "job.toml")
    assert result.returncode == 0, result.stderr
    for record in lines_of(tmp_path / "out" / "insights.jsonl"):
        assert record["accent_color"]
        assert record["provider"] == "local"
    (tmp_path / "out" / "service.log").unlink()
    assert command("run", tmp_path / "job.toml").stdout.startswith("finished: 0 records written, 3 done before")
    assert not (tmp_path / "out" / "service.log").exists()  # nothing is left to ask, so no service is started
    assert "none was made" in command("check", tmp_path / "job.toml", "--call").stdout
    stdin = command("run", tmp_path / "job.toml", "--set", "manifest.path=-", stdin="p0.png\n")
    assert (stdin.returncode, "provider.catalogue" in stdin.stderr) == (2, True)
    sets = [f"manifest.root={tmp_path}/pictures", f"provider.catalogue={tmp_path}/pictures", "manifest.path=-"]
    named = command("run", tmp_path / "job.toml", *(f"--set={one}" for one in sets), stdin="p0.png\n")
    assert (named.returncode, named.stderr) == (0, "")


def test_serve_refuses_to_be_reached_by_others_without_a_key(tmp_path: Path) -> None:
    """Another address than loopback needs a key; a catalogue that isn't there is named."""
    draw(tmp_path / "pictures" / "p.png", 1)
    open_to_all = command("serve", "--catalogue", tmp_path / "pictures", "--host", "0.0.0.0", "--index", tmp_path / "i")
    assert (open_to_all.returncode, "key" in open_to_all.stderr) == (2, True)
    missing = command("serve", "--catalogue", tmp_path / "none.csv", "--index", tmp_path / "i")
    assert (missing.returncode, "none.csv" in missing.stderr) == (2, True)


def test_schema_is_a_json_schema() -> None:
    """What is printed can be used as it is."""
    Draft202012Validator.check_schema(json.loads(command("schema").stdout))


def test_the_version_is_the_package_s() -> None:
    """--version says what is installed, and nothing else."""
    said = command("--version")
    assert (said.returncode, said.stdout, said.stderr) == (
        0,
        f"image-insights {version('image-insights-pipeline')}\n",
        "",
    )


# Parts of the command in the order in which they are imported: at once, half-way, at last.
MOMENTS = ["orjson", "aiohttp", "pipeline.cli"]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_at_the_start_ends_the_command_quietly(config: Path, moment: str, number: signal.Signals) -> None:
    """While the command is still being imported a signal is one line and its exit code, never a traceback."""
    line = [sys.executable, "-X", "importtime", "-m", "pipeline", "run", str(config)]
    environment = {**os.environ, KEY_ENV: KEY}
    with subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr
        for said in process.stderr:
            if said.split("|")[-1].strip() == moment:
                break
        process.send_signal(number)
        rest = [said for said in process.stderr if not said.startswith("import time:")]
    assert process.returncode == 128 + number
    assert rest == [f"image-insights: stopped by {number.name}\n"]


def test_help_names_every_command() -> None:
    """--help is the first thing a user types."""
    text = command("--help").stdout
    for name in ("run", "plan", "status", "report", "retry", "renormalise", "check", "serve", "schema"):
        assert name in text


def test_a_run_needs_no_package_of_the_service() -> None:
    """Only the embedded service needs numpy: the commands load without it."""
    code = "import sys; sys.modules['numpy'] = None; import pipeline.cli"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
