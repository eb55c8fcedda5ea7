"""The ledger of one job: what became of each row, and with what it was asked.

Four short values say which row, picture and question it was (resume/keys.py computes them):

row key        16 bytes: the row itself, by its id, or by its line where it has no id of its own
content key    16 bytes: all that the row's line in the output comes from, but for the picture's content
file stamp     32 bytes: size, times and inode of a local picture, which is not opened while they are the same
cache key      16 bytes: the picture's own bytes and all that is asked about it; equal for rows that one call answers
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from pipeline.state.checkpoints import OpenCheckpoint, drop_checkpoints, note_checkpoints, write_checkpoint
from pipeline.state.database import StateDatabase, marks

FINGERPRINT_BYTES = 32


class State(IntEnum):
    """What became of a row: WAITING has no line (any more); RETRYABLE failures are tried again by the next run."""

    WAITING = 0
    DONE = 1
    FAILED = 2
    RETRYABLE = 3


FAILED_STATES = (State.FAILED, State.RETRYABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """What the ledger holds of one row; the columns of the table `rows` (migrations.py) explain each field."""

    row_key: bytes
    state: State
    content_key: bytes
    line: int = 0
    ordinal: int = 0
    checkpoint: int = 0
    file_stamp: bytes = b""
    cache_key: bytes = b""
    offset: int = 0
    length: int = 0
    asked_at: float = 0.0
    code: str = ""
    fingerprints: bytes = b""


_COLUMNS = tuple(LedgerEntry.__dataclass_fields__)
_REPLACED = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name != "row_key")
_UPSERT = (
    f"INSERT INTO rows ({', '.join(_COLUMNS)}) VALUES ({marks(_COLUMNS)}) "  # noqa: S608 - fixed names
    f"ON CONFLICT (row_key) DO UPDATE SET {_REPLACED}"
)


class Ledger:
    """The rows of one job: the sink's thread writes them. Raises OutputError where the database can't be used."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    def mark(self, entries: Sequence[LedgerEntry], complete: Sequence[OpenCheckpoint] = ()) -> int:
        """Write down rows and the checkpoints they complete; return how many lines of the output they supersede."""
        keys = [entry.row_key for entry in entries]
        chosen = f"row_key IN ({marks(keys)})"
        with self._database.transaction(synced=True) as writer:
            had_line = f"SELECT count(*) FROM rows WHERE state != 0 AND {chosen}"  # noqa: S608 - only marks
            superseded = int(writer.execute(had_line, keys).fetchone()[0])
            drop_checkpoints(writer, chosen, keys)
            writer.executemany(_UPSERT, [tuple(getattr(entry, name) for name in _COLUMNS) for entry in entries])
            for checkpoint in complete:
                write_checkpoint(writer, checkpoint)
            ids = [*(entry.checkpoint for entry in entries), *(one.checkpoint.id for one in complete)]
            note_checkpoints(self._database, ids)
        return superseded

    def retry(self, code: str | None = None) -> int:
        """Put failed rows (of one code) back to be tried again, their stored answers forgotten; return how many."""
        failed = f"state IN ({numbers(FAILED_STATES)})" + (" AND code = ?" if code else "")
        values = [code] if code else []
        with self._database.transaction(synced=True) as writer:
            answered = writer.execute(f"SELECT fingerprints FROM rows WHERE {failed}", values)  # noqa: S608 - fixed text
            fingerprints = [(one,) for (joined,) in answered for one in split_fingerprints(joined)]
            writer.executemany("DELETE FROM answers WHERE fingerprint = ?", fingerprints)
            drop_checkpoints(writer, failed, values)
            sql = f"UPDATE rows SET state = {State.RETRYABLE:d}, fingerprints = x'' WHERE {failed}"  # noqa: S608 - fixed text
            return writer.execute(sql, values).rowcount

    def forget(self, row_keys: Sequence[bytes]) -> None:
        """Drop rows, at most a thousand at once."""
        with self._database.transaction() as writer:
            drop_checkpoints(writer, f"row_key IN ({marks(row_keys)})", row_keys)
            writer.executemany("DELETE FROM rows WHERE row_key = ?", [(row_key,) for row_key in row_keys])

    def counts(self) -> dict[State, int]:
        """Return how many rows are in each state."""
        with self._database.reading() as reader:
            counted = reader.execute("SELECT state, count(*) FROM rows GROUP BY state").fetchall()
        return {State(state): count for state, count in counted}

    def failures(self) -> dict[str, int]:
        """Return how many rows failed, by code, most first."""
        failed = f"state IN ({numbers(FAILED_STATES)})"
        sql = f"SELECT code, count(*) FROM rows WHERE {failed} GROUP BY code ORDER BY 2 DESC"  # noqa: S608 - numbers
        with self._database.reading() as reader:
            return dict(reader.execute(sql))


def numbers(states: Iterable[State]) -> str:
    """Return states as a list of numbers in SQL."""
    return ",".join(str(int(state)) for state in states)


def split_fingerprints(joined: bytes) -> list[bytes]:
    """Return the fingerprints that a row keeps one after the other."""
    return [joined[start : start + FINGERPRINT_BYTES] for start in range(0, len(joined), FINGERPRINT_BYTES)]
