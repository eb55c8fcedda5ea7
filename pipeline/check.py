"""Everything a job needs, looked at before the night: config, manifest, key, output folder; one call on request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio

from pipeline.backend import make_provider
from pipeline.config import Config, read_key
from pipeline.errors import UsageError
from pipeline.job import run
from pipeline.manifest import open_manifest
from pipeline.sink.job import open_job
from pipeline.terms import find


def check(config: Config, *, call: bool) -> Iterator[str]:
    """Yield a line for each thing that is in order; raises what a run would. `call`: do the first row that is left."""
    yield "config    valid"
    yield _source(config)
    key = read_key(config.provider)
    yield "key       present" if key else "key       none needed"
    with open_job(Path(config.output.dir)):
        yield f"output    {config.output.dir} can be written"
    if call:
        report = anyio.run(lambda: run(config, limit=1))
        if report.cause is not None:
            raise report.cause
        if not report.traffic.sends:
            raise UsageError(f"no call was made ({report.summary()}); the first row that is left needs none")
        yield f"call      {report.summary()}"


def _source(config: Config) -> str:
    """Look at where the rows come from; raises UsageError where that can't be."""
    provider = make_provider(config)
    if config.manifest.path:
        with open_manifest(config.manifest):
            return f"manifest  {config.manifest.path} can be read"
    find(config, provider)
    what = "a search" if config.manifest.search else "the images that are trending"
    return f"manifest  {what} can be asked for"
