"""What was before: superseded records, rows that left the manifest, and the runs that found out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import zstandard

from pipeline.state.database import StateDatabase, marks
from pipeline.state.ledger import State

_LEVEL = 3
_RUN = "run"
_COMPLETE = "complete runs"


class RowPlace(NamedTuple):
    """Where the line of a known row is."""

    state: State
    offset: int
    length: int


class History:
    """The past of one job; its writer is the sink's thread. Raises OutputError where the database can't be used."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    def begin_run(self) -> None:
        """Count a run."""
        self._database.set_number(_RUN, self.run() + 1)

    def run(self) -> int:
        """Return the number of the run that is at work, or was last; the first one is 1."""
        return self._database.number(_RUN)

    def complete_runs(self) -> int:
        """Return how many runs went through the whole manifest: before the first one, every row is new."""
        return self._database.number(_COMPLETE)

    def count_complete_run(self) -> None:
        """Count a run that went through the whole manifest."""
        self._database.set_number(_COMPLETE, self.complete_runs() + 1)

    def places(self, row_keys: Sequence[bytes]) -> dict[bytes, RowPlace]:
        """Return where the lines of known rows are, as the writer sees them."""
        sql = f"SELECT row_key, state, offset, length FROM rows WHERE row_key IN ({marks(row_keys)})"  # noqa: S608 - only marks
        with self._database.transaction() as writer:
            return {key: RowPlace(State(state), *place) for key, state, *place in writer.execute(sql, row_keys)}

    def keep(self, records: Iterable[tuple[bytes, bytes]], at: float) -> None:
        """Keep the lines of records, by row key, that are superseded at a Unix time."""
        pack, run = zstandard.ZstdCompressor(level=_LEVEL).compress, self.run()
        with self._database.transaction() as writer:
            writer.executemany(
                "INSERT INTO history (row_key, run, at, record) VALUES (?, ?, ?, ?)",
                [(row_key, run, at, pack(line)) for row_key, line in records],
            )

    def records(self, row_key: bytes) -> list[bytes]:
        """Return the superseded records of a row, newest first, as their lines."""
        sql = "SELECT record FROM history WHERE row_key = ? ORDER BY number DESC"
        with self._database.transaction() as writer:
            return [zstandard.ZstdDecompressor().decompress(record) for (record,) in writer.execute(sql, (row_key,))]

    def forget_before(self, at: float) -> None:
        """Drop the records that were superseded before a Unix time."""
        with self._database.transaction() as writer:
            writer.execute("DELETE FROM history WHERE at < ?", (at,))

    def mark_absent(self, row_keys: Sequence[bytes]) -> None:
        """Mark rows as absent from the manifest."""
        with self._database.transaction() as writer:
            writer.executemany("INSERT OR IGNORE INTO absent VALUES (?)", [(row_key,) for row_key in row_keys])

    def mark_present(self, row_keys: Sequence[bytes]) -> None:
        """Take the mark from rows that are back, or are forgotten."""
        with self._database.transaction() as writer:
            writer.executemany("DELETE FROM absent WHERE row_key = ?", [(row_key,) for row_key in row_keys])
