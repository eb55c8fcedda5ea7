"""The counters of one run, for run.json, metrics.prom, the progress line and the stop conditions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.records import Failure, Prepared
from pipeline.report.facts import known_facts
from pipeline.schema import Record
from pipeline.state.ledger import LedgerEntry, State


@dataclass(slots=True)
class Tally:
    """Counts of rows and bytes.

    `seen` counts the rows read from the manifest, `begun` those that this run has started to process, `from_store` the
    records built without a call, `known` the records by what they know (facts.py). `faults_in_a_row` counts the rows
    since the last success that failed because of the service or the connection. `missing` counts, by code, the failed
    rows that keep their record because their picture can't be read now; `missing_in_a_row` those of them since the last
    picture that was there, as far as they are local, and `missing_path` is the last one. `moved` grows with every step
    of any stage; while it doesn't, the run is stalled.
    """

    seen: int = 0
    begun: int = 0
    done_before: int = 0
    failed_before: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    ok: int = 0
    empty: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    records_written: int = 0
    failures_written: int = 0
    from_store: int = 0
    known: Counter[str] = field(default_factory=Counter)
    passed: int = 0
    encoded: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    faults_in_a_row: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    missing_in_a_row: int = 0
    missing_path: str = ""
    moved: int = 0

    @property
    def failures(self) -> int:
        """Rows that have failed, now or before."""
        return self.failed.total() + self.failed_before.total()

    @property
    def tried(self) -> int:
        """Rows that this run has finished."""
        return self.ok + self.empty + self.failed.total()

    @property
    def finished(self) -> int:
        """Rows that have a record or a failure, from this run or before."""
        return self.ok + self.empty + self.done_before + self.failures

    def count_batch(self, rows: int, done_before: int, failed_before: Counter[str], skipped: int = 0) -> None:
        """Count a batch of rows of the manifest, and what was skipped in it."""
        self.moved += 1
        self.seen += rows
        self.done_before += done_before
        self.failed_before.update(failed_before)
        self.skipped += skipped

    def count_committed(self, entries: Sequence[LedgerEntry]) -> None:
        """Count rows whose lines are committed."""
        self.moved += 1
        records = sum(entry.state is State.DONE for entry in entries)
        self.records_written += records
        self.failures_written += len(entries) - records

    def count_prepared(self, prepared: Prepared) -> None:
        """Count a prepared picture."""
        self.moved += 1
        self.missing_in_a_row = 0
        self.bytes_before += prepared.source.bytes
        self.bytes_after += len(prepared.data)
        if prepared.action == "encoded":
            self.encoded += 1
        else:
            self.passed += 1

    def count_record(self, record: Record) -> None:
        """Count a record."""
        self.moved += 1
        self.faults_in_a_row = 0
        self.from_store += record["calls"]["from_store"]
        self.known.update(known_facts(record))
        if record["status"] == "ok":
            self.ok += 1
        else:
            self.empty += 1

    def count_failure(self, failure: Failure) -> None:
        """Count a failed row."""
        self.moved += 1
        self.failed[failure.code] += 1
        if failure.stage == "fetch":
            self.faults_in_a_row = self.faults_in_a_row + 1 if failure.retryable else 0

    def count_missing(self, code: str, path: str | None) -> None:
        """Count a failed row that keeps its record; `path` is that of a local picture."""
        self.missing[code] += 1
        if path is not None:
            self.missing_in_a_row += 1
            self.missing_path = path
