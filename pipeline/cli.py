"""The commands: parse, call, print, exit code. No logic lives here.

A command imports what it alone needs when it is called, so that a run starts soon.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, TypeVar

import anyio
import orjson
import typer

from pipeline import cli_results, load_config
from pipeline.cli_options import ConfigPath, Sets
from pipeline.config import Config
from pipeline.errors import ConfigError, ExitCode, InternalError, PipelineError, Stalled
from pipeline.guards.printable import printable, printable_lines
from pipeline.local.embedded import check_packages
from pipeline.report.page.write import REPORT_FILE
from pipeline.report.progress import progress_for
from pipeline.report.run_json import Report
from pipeline.report.status import job_status
from pipeline.runner.execution import beside
from pipeline.runner.job import run as run_job
from pipeline.runner.stop import Stop
from pipeline.runner.wiring import ProgressReporter
from pipeline.schema import json_schema
from pipeline.signals import stop_on_signals

T = TypeVar("T")

app = typer.Typer(
    name="image-insights",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

MaybeConfigPath = Annotated[
    Path | None, typer.Argument(metavar="[CONFIG]", help="The job's TOML config.", show_default=False)
]

app.command()(cli_results.report)
app.command()(cli_results.duplicates)
app.command()(cli_results.export)
app.command()(cli_results.diff)
app.add_typer(cli_results.alerts, name="alerts")


def _version(asked: bool) -> None:  # noqa: FBT001 - typer calls it with the flag's value
    if asked:
        typer.echo(f"image-insights {version('image-insights-pipeline')}")
        raise typer.Exit


@app.callback()
def options(
    asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Enrich an image catalogue with image insights: one JSON line per picture, exactly once, within the quota."""


@app.command()
def run(
    config: ConfigPath,
    sets: Sets = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after N rows that are not done yet.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing on success.")] = False,
) -> None:
    """Process every row that isn't done; run it again to resume. The only command that cron needs."""
    job = _load(config, sets)
    report = _run(job, limit=limit, progress=progress_for(quiet=quiet))
    if report.exit_code not in {ExitCode.DONE, ExitCode.SOME_FAILED}:
        typer.echo(report.summary(), err=True)
        if isinstance(report.cause, InternalError):
            typer.echo(printable_lines("".join(traceback.format_exception(report.cause)).rstrip()), err=True)
    elif not quiet:
        typer.echo(report.summary())
        if sys.stdout.isatty():
            page = Path(job.output.dir) / REPORT_FILE
            typer.echo(printable(report.facts(str(page) if job.output.report else "")))
    for problem in report.alerts.problems:
        typer.echo(printable(problem), err=True)
    if isinstance(report.cause, Stalled):  # a thread that hangs would be waited for
        sys.stdout.flush()
        os._exit(report.exit_code)
    raise typer.Exit(report.exit_code)


@app.command()
def plan(config: ConfigPath, sets: Sets = None) -> None:
    """Show what a run would do, without a call: rows, calls, cost, time, nights."""
    from pipeline.commands.plan import make_plan  # noqa: PLC0415 - see above

    typer.echo(make_plan(_load(config, sets)).text())


@app.command()
def status(config: ConfigPath, sets: Sets = None) -> None:
    """Show how far the job is, and how its last run ended."""
    typer.echo(printable_lines(job_status(Path(_load(config, sets).output.dir))))


@app.command()
def retry(
    config: ConfigPath,
    sets: Sets = None,
    code: Annotated[str | None, typer.Option(help="Only rows that failed with this code.")] = None,
) -> None:
    """Mark failed rows, so that the next run tries them again."""
    from pipeline.commands.retry_failed import retry_failed  # noqa: PLC0415 - see above

    typer.echo(retry_failed(_folder(_load(config, sets)), code))


@app.command()
def renormalise(config: ConfigPath, sets: Sets = None) -> None:
    """Rebuild every record from the stored answers, without any call."""
    from pipeline.commands import renormalise as renormalising  # noqa: PLC0415 - see above

    typer.echo(anyio.run(_stoppable, partial(renormalising.renormalise, _load(config, sets))).text())


@app.command()
def schema(config: MaybeConfigPath = None, sets: Sets = None) -> None:
    """Print the JSON Schema of the record. With a config, it has your own fields in `attributes`."""
    attributes = _load(config, sets).provider.attributes_schema if config else None
    typer.echo(orjson.dumps(json_schema(attributes), option=orjson.OPT_INDENT_2).decode())


@app.command()
def check(
    config: ConfigPath,
    sets: Sets = None,
    call: Annotated[bool, typer.Option("--call", help="Also make one real call; it counts against the quota.")] = False,
) -> None:
    """Check config, manifest header, key and output folder. Makes no call, unless you give --call."""
    from pipeline.commands import check as checks  # noqa: PLC0415 - see above

    for line in checks.check(_load(config, sets), partial(_run, limit=1, is_check=True) if call else None):
        typer.echo(printable(line))


# The options of `serve`: what the config file says, they say more strongly.
ServiceConfigPath = Annotated[
    Path | None, typer.Argument(metavar="[CONFIG]", help="The service's TOML config.", show_default=False)
]
Catalogue = Annotated[
    str | None, typer.Option(help="A csv, tsv, jsonl, txt (each also .gz/.zst) or parquet file, or a folder.")
]
Root = Annotated[str | None, typer.Option(help="Where relative paths start; default: the catalogue's folder.")]
Format = Annotated[
    str | None, typer.Option("--format", help="The catalogue's format, if its file name doesn't show it.")
]
FieldColumns = Annotated[
    list[str] | None, typer.Option("--column", metavar="FIELD=COLUMN", help="The column of a field; repeatable.")
]
IndexFolder = Annotated[
    str | None, typer.Option("--index", help="Where the index of the pictures is kept (out/index).")
]
Host = Annotated[
    str | None, typer.Option(help="Address to listen on (127.0.0.1); any other than loopback needs a key.")
]
Port = Annotated[int | None, typer.Option(help="Port to listen on (8077), 0 for a free one.")]
Qps = Annotated[float | None, typer.Option("--qps", help="Queries per second for each key, 0 for no limit.")]
MonthlyQuota = Annotated[int | None, typer.Option(help="Queries per month for each key, 0 for no limit.")]
KeyEnv = Annotated[str | None, typer.Option(help="Environment variable that holds the one key callers must send.")]
AccessLog = Annotated[bool | None, typer.Option("--access-log/--no-access-log", help="Print a line for each request.")]
Journal = Annotated[str | None, typer.Option(help="Write a JSON line per request to this file; no keys.")]
ReadsText = Annotated[bool | None, typer.Option("--text/--no-text", help="Read the text in pictures (on).")]
FetchesUrls = Annotated[
    bool | None, typer.Option("--fetch-urls/--no-fetch-urls", help="Load pictures behind URLs from the web (off).")
]
Faults = Annotated[bool, typer.Option("--faults", help="Answer with faults on demand, for tests.", hidden=True)]
WithParent = Annotated[bool, typer.Option("--with-parent", help="Stop when stdin ends.", hidden=True)]


@app.command()
def serve(
    config: ServiceConfigPath = None,
    sets: Sets = None,
    catalogue: Catalogue = None,
    root: Root = None,
    form: Format = None,
    column: FieldColumns = None,
    index: IndexFolder = None,
    host: Host = None,
    port: Port = None,
    qps: Qps = None,
    monthly_quota: MonthlyQuota = None,
    key_env: KeyEnv = None,
    access_log: AccessLog = None,
    journal: Journal = None,
    text: ReadsText = None,
    fetch_urls: FetchesUrls = None,
    faults: Faults = False,
    with_parent: WithParent = False,
) -> None:
    """Run the embedded service on its own: it answers v7 requests from a catalogue."""
    given: dict[str, dict[str, object]] = {
        "catalogue": {"path": catalogue, "root": root, "format": form},
        "service": {
            "index": index,
            "host": host,
            "port": port,
            "access_log": access_log,
            "journal": journal,
            "text": text,
            "fetch_urls": fetch_urls,
        },
        "allowance": {"qps": qps, "per_month": monthly_quota},
    }
    _serve(config, sets or [], column or [], key_env, given, faults=faults, with_parent=with_parent)


def main() -> None:
    """Run the command line; an error that a user can cause is one sentence on stderr and an exit code."""
    # asyncio warns of processes that anyio ends, where the machine is busy: cron would mail it, and nothing is wrong.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    try:
        app()
    except PipelineError as exc:
        show = printable_lines if isinstance(exc, ConfigError) else printable  # which has a line for each problem
        typer.echo(f"image-insights: {show(str(exc))}", err=True)
        sys.exit(exc.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _serve(
    path: Path | None,
    sets: list[str],
    columns: list[str],
    key_env: str | None,
    given: Mapping[str, Mapping[str, object]],
    *,
    faults: bool,
    with_parent: bool,
) -> None:
    """Serve until a signal comes; `given` are the options by table and key, None where one is not given."""
    check_packages()
    from pipeline.local import serve as local_serve  # noqa: PLC0415 - only the service needs numpy: a run stays light

    options = {f"{table}.{key}": value for table, keys in given.items() for key, value in keys.items()}
    settings = local_serve.read_config(path, sets, columns=columns, key_env=key_env, options=options)
    anyio.run(local_serve.serve, local_serve.serve_config(settings, faults=faults, with_parent=with_parent))


def _run(
    config: Config, *, limit: int | None, progress: ProgressReporter | None = None, is_check: bool = False
) -> Report:
    act = partial(run_job, config, limit=limit, progress=progress, is_check=is_check)
    return anyio.run(_stoppable, lambda stop: act(stop=stop))


async def _stoppable(act: Callable[[Stop], Awaitable[T]]) -> T:
    """Do something that the signals of this process stop."""
    stop = Stop()
    async with beside([partial(stop_on_signals, stop)]):
        return await act(stop)


def _load(path: Path, sets: list[str] | None) -> Config:
    return load_config(path, sets or [])


def _folder(config: Config) -> Path:
    return Path(config.output.dir)
