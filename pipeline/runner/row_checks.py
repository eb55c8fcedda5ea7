"""What a run checks of its rows as a whole: that the manifest is the job's own, and that not too many rows are gone."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import RowsMissing, UsageError
from pipeline.manifest import open_manifest
from pipeline.resume.pending import is_unknown
from pipeline.state.job_state import JobState
from pipeline.state.ledger import State

_MANIFEST = "manifest"


def check_manifest(config: Config, state: JobState) -> None:
    """Raise UsageError where another manifest than last time has no row that the job knows: each would be paid for.

    The manifest is read up to its first known row, and only where its path is another one. A pipe can't be read twice.
    """
    last = state.database.number(_MANIFEST)
    if not last or config.output.several_manifests or not _is_on_disk(config) or last == _path_number(config):
        return
    rows = sum(state.ledger.counts().values())
    if rows:
        with open_manifest(config.manifest) as manifest:
            if is_unknown(manifest, state.known_rows):
                raise UsageError(
                    f"manifest.path: {config.manifest.path} is another manifest than last time, and none of its rows "
                    f"is among the {rows} rows of {config.output.dir}: each would be paid for. Give it an output.dir "
                    "of its own; if both belong together, set output.several_manifests = true"
                )


def note_manifest(config: Config, state: JobState) -> None:
    """Keep which manifest the job was run with last."""
    if _is_on_disk(config) and state.database.number(_MANIFEST) != _path_number(config):
        state.database.set_number(_MANIFEST, _path_number(config))


def missing_rows(config: Config, state: JobState, seen: int) -> RowsMissing | None:
    """Return why a run that has `seen` so many rows may not remove the others, None where it may.

    All rows of the manifest were looked at; nothing was removed yet.
    """
    if seen and not config.output.prune:
        return None  # counting the rows of a large job takes as long as a fifth of a run that has nothing to do
    counts = state.ledger.counts()
    if not seen:
        return _no_rows(config, sum(counts.values())) if counts else None
    records = counts.get(State.DONE, 0)
    leaving = state.known_rows.count_unseen((State.DONE,))
    if config.output.max_removed.exceeded(leaving, records):
        return RowsMissing(
            f"output.prune would remove {leaving} of {records} records, more than output.max_removed allows; nothing "
            "was removed. If these rows have left the manifest for good, run once with a larger output.max_removed"
        )
    return None


def _no_rows(config: Config, known: int) -> RowsMissing:
    source = config.manifest.path or "the search"
    return RowsMissing(
        f"{source} has no rows, but there were {known} in earlier runs; is its folder mounted, and the export whole? "
        "Nothing was changed"
    )


def _is_on_disk(config: Config) -> bool:
    path = Path(config.manifest.path)
    return bool(config.manifest.path) and (path.is_file() or path.is_dir())


def _path_number(config: Config) -> int:
    """Return a number for the manifest's real path: the table `meta` holds numbers only."""
    digest = blake2b(os.fsencode(os.path.realpath(config.manifest.path)), digest_size=7)
    return int.from_bytes(digest.digest(), "big") + 1
