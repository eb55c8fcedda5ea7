"""What is done after a run through the whole manifest: rows that came or left, the history, the files."""

from __future__ import annotations

import time
from collections.abc import Iterable

from pipeline.changes.change import Change
from pipeline.sink.compact import compact
from pipeline.sink.job_files import CHANGES, FAILURES, INSIGHTS, STATES, Job
from pipeline.sink.superseded import coming_and_going
from pipeline.state.database import chunks
from pipeline.state.ledger import State

_ROWS_AT_ONCE = 1000


def compact_job(job: Job, prune: bool, history: float) -> None:  # noqa: FBT001 - called through a thread, which passes positions only
    """Drop failures (and, to prune, records) of rows that left the manifest; compact the files if lines don't count.

    Superseded records are kept for `history` seconds. The job's outputs are not appended to afterwards.
    """
    job.state.known_rows.note_lines()
    _note_coming_and_going(job)
    _forget_unseen(job, State.FAILED, State.RETRYABLE)
    if prune:
        _forget_unseen(job, State.DONE)
    job.state.history.forget_before(time.time() - history)
    if job.state.files.superseded():
        for name in (INSIGHTS, FAILURES):
            compact(job.state.files, name, job.outputs[name].path, STATES[name])
        job.state.files.mark_compacted()
    job.state.history.count_complete_run()


def append_changes(job: Job, changes: Iterable[Change]) -> None:
    """Append changes; they count once the length of their file is committed."""
    if lines := [change.encode() for change in changes]:
        job.changes.append(lines)


def _note_coming_and_going(job: Job) -> None:
    """Write down which rows left the manifest since the last complete run, and which are back in it."""
    state, is_first = job.state, not job.state.history.complete_runs()
    for row_keys in chunks(state.known_rows.newly_unseen(), _ROWS_AT_ONCE):
        append_changes(job, [] if is_first else coming_and_going(job, row_keys, "removed", time.time()))
        with state.database.transaction(synced=True):
            state.history.mark_absent(row_keys)
            state.files.commit({CHANGES: job.changes.length}, {}, 0)
    for row_keys in chunks(state.known_rows.seen_again(), _ROWS_AT_ONCE):
        append_changes(job, [] if is_first else coming_and_going(job, row_keys, "added", time.time()))
        with state.database.transaction(synced=True):
            state.history.mark_present(row_keys)
            state.files.commit({CHANGES: job.changes.length}, {}, 0)


def _forget_unseen(job: Job, *states: State) -> None:
    """Drop the rows in `states` that no line of this run's manifest named; their lines no longer count.

    Their records go to the history.
    """
    state = job.state
    for row_keys in chunks(state.known_rows.unseen(states), _ROWS_AT_ONCE):
        places = state.history.places(row_keys) if State.DONE in states else {}
        records = [(key, job.outputs[INSIGHTS].read(place.offset, place.length)) for key, place in places.items()]
        with state.database.transaction():
            state.history.keep(records, time.time())
            state.history.mark_present(row_keys)
            state.ledger.forget(row_keys)
            state.files.add_superseded(len(row_keys))
