"""Everything a job needs, looked at before the night: config, manifest, key, output folder; one call on request."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.config import Config, read_headers, read_key
from pipeline.errors import UsageError
from pipeline.local.backend import backend_of, make_provider
from pipeline.manifest import STDIN, Manifest, open_manifest
from pipeline.records import Failure
from pipeline.report.run_json import Report
from pipeline.runner.policies import search_cursor
from pipeline.runner.row_checks import check_manifest
from pipeline.sink.job_files import open_job
from pipeline.wording import counted

# Does one row of the job, at most.
RunOnce = Callable[[Config], Report]
CANARY_ROWS = 20  # so many rows are tried one by one until one of them takes a call


def check(config: Config, run_once: RunOnce | None = None) -> Iterator[str]:
    """Yield a line for each thing that is in order; raises what a run would.

    With `run_once`, which does one row of a job, rows are done until one of them takes a call.
    """
    yield "config    valid"
    yield from (f"config    {note}" for note in (*config.provider.notes(), *_search_notes(config)))
    backend_of(config).check()
    yield from (f"manifest  {line}" for line in _source(config))
    read_headers(config.prepare)
    key = read_key(config.provider)
    yield "key       present" if key else "key       none needed"
    with open_job(Path(config.output.dir)) as job:
        check_manifest(config, job.state)
        yield f"output    {config.output.dir} can be written"
    if run_once is not None:
        yield f"call      {_call(config, run_once)}"


def _search_notes(config: Config) -> tuple[str, ...]:
    return config.manifest.search.notes() if config.manifest.search else ()


def _source(config: Config) -> Iterator[str]:
    """Look at where the rows come from, and say what was found out; raises UsageError where that can't be."""
    provider = make_provider(config)
    if config.manifest.path:
        yield from _manifest(config)
        return
    search_cursor(config, provider)
    what = "a search" if config.manifest.search else "the images that are trending"
    yield f"{what} can be asked for"


def _manifest(config: Config) -> Iterator[str]:
    """Read the manifest to its end, and say what was found out about it; stdin is left for the run."""
    with open_manifest(config.manifest) as manifest:
        if config.manifest.path == STDIN:
            yield "stdin can be read"
        else:
            rows, failures = _count(manifest)
            skipped = f", {manifest.skipped} skipped" if manifest.skipped else ""
            yield f"{config.manifest.path} can be read: {counted(rows, 'row')}{skipped}"
            yield from failures
        yield from manifest.notes


def _count(manifest: Manifest) -> tuple[int, list[str]]:
    """Return the number of rows, and a line about those that can't be used, if there are any."""
    rows, failed, first = 0, 0, ""
    for row in manifest.rows():
        rows += 1
        if isinstance(row, Failure):
            failed += 1
            first = first or row.message
    return rows, [f"{counted(failed, 'row')} can't be used; the first one: {first}"] if failed else []


def _call(config: Config, run_once: RunOnce) -> str:
    """Make one call and say how it went: for a row that is left, or, where none is, for the first one again.

    Raises what ended it, and UsageError where no row takes a call.
    """
    report = _canary(config, run_once)
    if report.traffic.sends:
        return report.summary()
    if report.tally.begun:
        raise UsageError(f"no call was made: none of the first {CANARY_ROWS} rows that are left needs one")
    if backend_of(config).starts_on_demand:
        return "none was made: every row is done, and the embedded service needs no key"
    with tempfile.TemporaryDirectory() as aside:
        again = config.model_copy(update={"output": config.output.model_copy(update={"dir": aside})})
        report = _canary(again, run_once)
    if not report.traffic.sends:
        raise UsageError("no call was made: every row is done, and none of the first ones can be asked again")
    return f"every row is done, so the first one was asked again, its answer thrown away: {report.summary()}"


def _canary(config: Config, run_once: RunOnce) -> Report:
    """Do row after row until one takes a call, none is left, or there were enough; raises what ended it."""
    for _ in range(CANARY_ROWS):
        report = run_once(config)
        if report.cause is not None:
            raise report.cause
        if report.traffic.sends or not report.tally.begun:
            break
    return report
