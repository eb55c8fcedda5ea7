"""The commands that take the results of a job elsewhere, and say what has changed in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import anyio
import orjson
import typer

from pipeline import load_config
from pipeline.cli_options import ConfigPath, Sets
from pipeline.errors import UsageError
from pipeline.guards.printable import printable

alerts = typer.Typer(no_args_is_help=True, help="Alerts on what changed: see [[alerts]] in the config.")

ConfigsAndOut = Annotated[
    list[Path],
    typer.Argument(metavar="CONFIG... OUT", help="Configs of jobs, then the file to write.", show_default=False),
]
Tables = Annotated[
    str, typer.Option(metavar="NAME,...", help="Child tables to write too, such as tags,offers,pages; or all.")
]


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
