"""What change detection looks up: rows and checkpoints of earlier runs, and the rows that this run has seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pipeline.state.checkpoints import Checkpoint, last_checkpoint, read_checkpoints
from pipeline.state.database import StateDatabase, marks, translated
from pipeline.state.ledger import FAILED_STATES, State, numbers, split_fingerprints

# Of this run alone, in a temporary file. `seen`: row keys and the lines they came in; `passed`: checkpoints.
_RUN_TABLES = (
    "ATTACH '' AS run",
    "PRAGMA run.journal_mode = OFF",
    "PRAGMA run.cache_size = -16000",
    "CREATE TABLE run.seen (row_key BLOB PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE run.passed (checkpoint INTEGER PRIMARY KEY)",
)
_WITH_LINE = (State.DONE, *FAILED_STATES)


class KnownRow(NamedTuple):
    """What change detection needs of a row; `asked_at` is Unix time.

    `is_passed`: it belongs to a checkpoint that this run has passed over.
    """

    row_key: bytes
    number: int
    state: int
    content_key: bytes
    file_stamp: bytes
    asked_at: float
    code: str
    line: int
    checkpoint: int
    is_passed: int


_COLUMNS = ", ".join(KnownRow._fields[:-1]) + ", checkpoint IN (SELECT checkpoint FROM run.passed)"  # noqa: S608 - fixed names


class KnownRows:
    """The rows of one job as change detection reads them. Raises OutputError where the database can't be used."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database
        with translated(database.path):
            for statement in _RUN_TABLES:
                database.reader.execute(statement)

    def look_up(self, row_keys: Sequence[bytes]) -> dict[bytes, KnownRow]:
        """Return what is known of rows, at most a few thousand at once."""
        sql = f"SELECT {_COLUMNS} FROM rows WHERE row_key IN ({marks(row_keys)})"  # noqa: S608 - only marks
        with self._database.reading() as reader:
            return {row[0]: KnownRow._make(row) for row in reader.execute(sql, row_keys)}

    def fingerprints(self, row_key: bytes) -> list[bytes]:
        """Return the fingerprints of a row's answers."""
        with self._database.reading() as reader:
            row = reader.execute("SELECT fingerprints FROM rows WHERE row_key = ?", (row_key,)).fetchone()
        return split_fingerprints(row[0]) if row else []

    def is_answered(self, cache_key: bytes, *, not_before: float = 0.0) -> bool:
        """Return True if a row with this cache key has its answers, none asked before `not_before` (Unix time)."""
        sql = "SELECT 1 FROM rows WHERE cache_key = ? AND fingerprints != x'' AND asked_at >= ? LIMIT 1"
        with self._database.reading() as reader:
            return reader.execute(sql, (cache_key, not_before)).fetchone() is not None

    def checkpoints(self, line: int, count: int) -> list[Checkpoint]:
        """Return the next `count` checkpoints that begin at `line` or below."""
        with self._database.reading() as reader:
            return read_checkpoints(reader, line, count)

    def last_checkpoint(self) -> int:
        """Return the highest id that a checkpoint was given."""
        return last_checkpoint(self._database)

    def pass_over(self, checkpoint: int) -> None:
        """Note that all rows of a checkpoint are in this run's manifest."""
        with self._database.reading() as reader:
            reader.execute("INSERT INTO run.passed VALUES (?)", (checkpoint,))

    def note_seen(self, lines: Mapping[bytes, int]) -> dict[bytes, int]:
        """Note the row keys of this run with their lines; return those that an earlier line had, with that line."""
        sql = f"SELECT row_key, line FROM run.seen WHERE row_key IN ({marks(lines)})"  # noqa: S608 - only marks
        with self._database.reading() as reader:
            reader.execute("BEGIN")
            added = reader.executemany("INSERT OR IGNORE INTO run.seen VALUES (?, ?)", lines.items()).rowcount
            reader.execute("COMMIT")
            if added == len(lines):
                return {}
            return {key: line for key, line in reader.execute(sql, list(lines)) if line != lines[key]}

    def note_lines(self) -> None:
        """Write down the lines in which this run has seen its rows: rows above them may have come or gone."""
        moved = "UPDATE rows SET line = seen.line FROM run.seen WHERE seen.row_key = rows.row_key"
        with self._database.reading() as reader:
            reader.execute(f"{moved} AND seen.line != rows.line")

    def unseen(self, states: Sequence[State]) -> Iterator[bytes]:
        """Yield the keys of the rows in `states` that no line of this run's manifest named."""
        with self._database.reading() as reader:
            for (row_key,) in reader.execute(f"SELECT row_key {_unseen(states)}"):
                yield row_key

    def newly_unseen(self) -> Iterator[bytes]:
        """Yield the keys of the rows with a line that the manifest named in the last complete run, and not in this."""
        marked = "AND row_key NOT IN (SELECT row_key FROM absent)"
        with self._database.reading() as reader:
            for (row_key,) in reader.execute(f"SELECT row_key {_unseen(_WITH_LINE)} {marked}"):
                yield row_key

    def seen_again(self) -> Iterator[bytes]:
        """Yield the keys of the rows that this run's manifest names, and that of the last complete run did not."""
        passed = "SELECT row_key FROM rows WHERE checkpoint IN (SELECT checkpoint FROM run.passed)"
        sql = f"SELECT row_key FROM absent WHERE row_key IN (SELECT row_key FROM run.seen) OR row_key IN ({passed})"  # noqa: S608 - fixed text
        with self._database.reading() as reader:
            for (row_key,) in reader.execute(sql):
                yield row_key

    def count_unseen(self, states: Sequence[State]) -> int:
        """Return how many rows in `states` no line of this run's manifest named."""
        with self._database.reading() as reader:
            return int(reader.execute(f"SELECT count(*) {_unseen(states)}").fetchone()[0])


def _unseen(states: Sequence[State]) -> str:
    return (
        f"FROM rows WHERE state IN ({numbers(states)}) "  # noqa: S608 - numbers
        "AND checkpoint NOT IN (SELECT checkpoint FROM run.passed) "
        "AND row_key NOT IN (SELECT row_key FROM run.seen)"
    )
