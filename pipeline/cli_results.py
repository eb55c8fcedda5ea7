"""The commands that show the results of a job, take them elsewhere, and say what has changed in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import anyio
import orjson
import typer

from pipeline import load_config
from pipeline.cli_options import ConfigPath, Sets
from pipeline.errors import UsageError
from pipeline.guards.printable import printable, printable_lines
from pipeline.report.copies import DuplicatesForm, Preference
from pipeline.report.run_json import read_run_json

alerts = typer.Typer(no_args_is_help=True, help="Alerts on what changed: the tables `alerts` of the config.")

ConfigsAndOut = Annotated[
    list[Path],
    typer.Argument(metavar="CONFIG... OUT", help="Configs of jobs, then the file to write.", show_default=False),
]
Tables = Annotated[
    str, typer.Option(metavar="NAME,...", help="Child tables to write too, such as tags,offers,pages; or all.")
]


def report(
    config: ConfigPath,
    sets: Sets = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print run.json instead: what the last run did.")] = False,
) -> None:
    """Write report.html, a page about the job and its last run that opens by double click, and print its path."""
    settings = load_config(config, sets or [])
    if not as_json:
        from pipeline.report.page.write import write_page  # noqa: PLC0415 - a run doesn't need it

        typer.echo(printable(str(write_page(settings, Path(settings.output.dir)))))
        return
    content = orjson.dumps(read_run_json(Path(settings.output.dir)), option=orjson.OPT_INDENT_2)
    typer.echo(printable_lines(content.decode()))


def duplicates(
    config: ConfigPath,
    sets: Sets = None,
    form: Annotated[DuplicatesForm, typer.Option("--format", help="How to print the groups.")] = DuplicatesForm.TEXT,
    keep: Annotated[Preference, typer.Option(help="What decides first which one to keep.")] = Preference.SIZE,
) -> None:
    """List the rows whose pictures are copies of each other, in groups, with the one to keep first."""
    from pipeline.commands.duplicates import list_duplicates  # noqa: PLC0415 - a run doesn't need it

    typer.echo(list_duplicates(Path(load_config(config, sets or []).output.dir), form, keep))


def export(paths: ConfigsAndOut, sets: Sets = None, tables: Tables = "") -> None:
    """Write the records as a table, one row a picture: .parquet, .csv, .jsonl, .duckdb or .xlsx.

    Several jobs of one catalogue are joined by id: one row then has what each of them knows.
    """
    from pipeline.commands import export as exports  # noqa: PLC0415 - a run doesn't need it

    *configs, out = paths
    if not configs:
        raise UsageError("export needs a config and the file to write: image-insights export CONFIG... OUT")
    jobs = exports.name_jobs(configs, [load_config(path, sets or []) for path in configs])
    typer.echo(exports.export(jobs, out, [name.strip() for name in tables.split(",") if name.strip()]))


def diff(
    config: ConfigPath,
    sets: Sets = None,
    since: Annotated[str, typer.Option(metavar="DATE|RUN", help="From this day on, or after this run.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_html: Annotated[bool, typer.Option("--html", help="Print a page to open in a browser.")] = False,
) -> None:
    """Show what has changed since the run before: rows, pictures, pages, offers, prices, tags, text."""
    from pipeline.commands import diff as diffs  # noqa: PLC0415 - a run doesn't need it

    changes = diffs.diff(Path(load_config(config, sets or []).output.dir), since)
    if as_json:
        typer.echo(orjson.dumps(changes.as_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo(changes.html() if as_html else changes.text())


@alerts.callback()
def _alerts() -> None:
    """Tell typer that `alerts` is a group, although it has one command."""


@alerts.command()
def test(config: ConfigPath, sets: Sets = None) -> None:
    """Send a test message by every way of every alert."""
    from pipeline.runner.alerts import try_alerts  # noqa: PLC0415 - a run imports it later

    lines = anyio.run(try_alerts, load_config(config, sets or []))
    typer.echo("\n".join(map(printable, lines)) or "the config has no alert that sends a message")
