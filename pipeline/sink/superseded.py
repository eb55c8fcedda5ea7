"""What a batch of finished rows supersedes: the changes that it means, and the records that go to the history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from pipeline.changes.change import Change, Difference
from pipeline.changes.compare import compare, picture
from pipeline.resume.keys import row_key
from pipeline.sink.job_files import FAILURES, INSIGHTS, STATES, Job
from pipeline.sink.output_lines import timestamp
from pipeline.state.history import RowPlace
from pipeline.state.ledger import LedgerEntry, State

Line = dict[str, Any]
_NAMES = {state: name for name, states in STATES.items() for state in states}


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded:
    """Changes, and records that no longer hold, by row key."""

    changes: list[Change] = field(default_factory=list)
    records: list[tuple[bytes, bytes]] = field(default_factory=list)


def supersede(job: Job, rows: Sequence[tuple[LedgerEntry, bytes]], at: float) -> Superseded:
    """Compare finished rows, each with its line, with what the job has of them; `at` is Unix time.

    A row is new only once the job has seen its whole manifest: all that came before is seen for the first time. A row
    whose line was lost is neither new nor changed.
    """
    result, make = Superseded(), _maker(job, at)
    places = job.state.history.places([entry.row_key for entry, _ in rows])
    may_be_new = job.state.history.complete_runs() > 0
    for entry, text in rows:
        place = places.get(entry.row_key)
        if place is None and may_be_new:
            result.changes.extend(_added(orjson.loads(text), entry.row_key, make))
        elif place is not None:
            _compare(job, result, entry, text, place, make)
    return result


def coming_and_going(job: Job, row_keys: Iterable[bytes], kind: str, at: float) -> list[Change]:
    """Return the changes of known rows that were added to the manifest, or removed from it."""
    make, changes = _maker(job, at), []
    for key, place in job.state.history.places(list(row_keys)).items():
        line = orjson.loads(job.outputs[_NAMES[place.state]].read(place.offset, place.length))
        if _is_own(line, key):
            name = picture(line)
            difference = (
                Difference(kind="added", after=name) if kind == "added" else Difference(kind="removed", before=name)
            )
            changes.append(make(line["id"], difference))
    return changes


def _maker(job: Job, at: float) -> Callable[[str, Difference], Change]:
    run, when = job.state.history.run(), timestamp(at)
    return lambda row_id, difference: Change(id=row_id, at=when, run=run, difference=difference)


def _added(line: Line, key: bytes, make: Callable[[str, Difference], Change]) -> list[Change]:
    return [make(line["id"], Difference(kind="added", after=picture(line)))] if _is_own(line, key) else []


def _is_own(line: Line, key: bytes) -> bool:
    """Return True if a line is that of a row with its own id."""
    row_id = line.get("id")
    return isinstance(row_id, str) and row_key(row_id) == key


def _compare(
    job: Job,
    result: Superseded,
    entry: LedgerEntry,
    text: bytes,
    place: RowPlace,
    make: Callable[[str, Difference], Change],
) -> None:
    """Add what a row changes; one that failed before is compared with the last record that it had."""
    before = _last_record(job, entry.row_key, place)
    if before is None:
        return
    old, new = orjson.loads(before), orjson.loads(text)
    has_failed = entry.state != State.DONE
    if place.state == State.DONE and has_failed:
        differences = [Difference(kind="field", field="status", before=old.get("status"), after="failed")]
    elif has_failed:
        return
    else:
        old_status = old.get("status") if place.state == State.DONE else "failed"
        differences = compare({**old, "status": old_status}, new)
    result.changes.extend(make(new["id"], difference) for difference in differences)
    if place.state == State.DONE and (differences or old.get("provider") != new.get("provider")):
        result.records.append((entry.row_key, before))


def _last_record(job: Job, key: bytes, place: RowPlace) -> bytes | None:
    if place.state == State.DONE:
        return job.outputs[INSIGHTS].read(place.offset, place.length)
    if place.state in STATES[FAILURES]:
        return next(iter(job.state.history.records(key)), None)
    return None
