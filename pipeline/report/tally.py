"""The running counts of one run, from which run.json, metrics.prom, the progress line and the verdicts are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.records import Failure, Prepared
from pipeline.schema import Record
from pipeline.state.ledger import Entry, State


@dataclass(slots=True)
class Tally:
    """Counts of rows and bytes; `moved` grows with every step of any stage, so that a stall can be told."""

    seen: int = 0
    begun: int = 0
    done_before: int = 0
    failed_before: Counter[str] = field(default_factory=Counter)
    ok: int = 0
    empty: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    records_written: int = 0
    failures_written: int = 0
    from_store: int = 0
    passed: int = 0
    encoded: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    faults_in_a_row: int = 0
    moved: int = 0

    @property
    def failures(self) -> int:
        """Rows that have failed, now or before."""
        return self.failed.total() + self.failed_before.total()

    @property
    def tried(self) -> int:
        """Rows whose outcome this run has found."""
        return self.ok + self.empty + self.failed.total()

    @property
    def judged(self) -> int:
        """Rows whose outcome is known."""
        return self.ok + self.empty + self.done_before + self.failures

    def changes(self, rows: int, done_before: int, failed_before: Counter[str]) -> None:
        """Count a batch of the manifest."""
        self.moved += 1
        self.seen += rows
        self.done_before += done_before
        self.failed_before.update(failed_before)

    def wrote(self, entries: Sequence[Entry]) -> None:
        """Count rows whose lines are committed."""
        self.moved += 1
        records = sum(entry.state is State.DONE for entry in entries)
        self.records_written += records
        self.failures_written += len(entries) - records

    def prepared(self, prepared: Prepared) -> None:
        """Count a picture that is within the limits now."""
        self.moved += 1
        self.bytes_before += prepared.source.bytes
        self.bytes_after += len(prepared.data)
        if prepared.action == "encoded":
            self.encoded += 1
        else:
            self.passed += 1

    def recorded(self, record: Record) -> None:
        """Count a record."""
        self.moved += 1
        self.faults_in_a_row = 0
        self.from_store += record["calls"]["from_store"]
        if record["status"] == "ok":
            self.ok += 1
        else:
            self.empty += 1

    def failing(self, failure: Failure) -> None:
        """Count a failure; faults of the way to the service are counted in a row as well."""
        self.moved += 1
        self.failed[failure.code] += 1
        if failure.stage == "fetch":
            self.faults_in_a_row = self.faults_in_a_row + 1 if failure.retryable else 0
