"""The ledger of one job: where each row stands, and how much of each output file is committed.

The writer's connection belongs to the sink's thread, the reader's to the probe: probing never waits for a commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from pipeline.state.checkpoints import Checkpoint, OpenCheckpoint, read_spans, write_span
from pipeline.state.database import connect, transaction, translated

T = TypeVar("T")


class State(IntEnum):
    """Where a row stands: WAITING has no line (any more); RETRYABLE failures are tried again by the next run."""

    WAITING = 0
    DONE = 1
    FAILED = 2
    RETRYABLE = 3


FAILED_STATES = (State.FAILED, State.RETRYABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the ledger holds of one row; the columns of the table `rows` (database.py) explain each."""

    key: bytes
    state: State
    digest: bytes
    line: int = 0
    span: int = 0
    stamp: bytes = b""
    question: bytes = b""
    place: int = 0
    length: int = 0
    asked_at: float = 0.0
    code: str = ""
    prints: bytes = b""


_COLUMNS = tuple(Entry.__dataclass_fields__)
_MARKS = ", ".join("?" for _ in _COLUMNS)
_ANEW = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name != "key")
_UPSERT = f"INSERT INTO rows ({', '.join(_COLUMNS)}) VALUES ({_MARKS}) ON CONFLICT (key) DO UPDATE SET {_ANEW}"  # noqa: S608 - fixed names


class Known(NamedTuple):
    """What the probe needs of a row; `asked_at` is Unix time, `is_seen`: it stands in a span that was passed over."""

    key: bytes
    number: int
    state: int
    digest: bytes
    stamp: bytes
    asked_at: float
    code: str
    line: int
    span: int
    is_seen: int


class Ledger:
    """The rows of one job in the database at `path`. Raises OutputError where it can't be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._write = connect(path)
        self._read = connect(path)
        with translated(path):
            self._read.execute("ATTACH '' AS run")
            self._read.execute("PRAGMA run.journal_mode = OFF")
            self._read.execute("PRAGMA run.cache_size = -16000")
            self._read.execute("CREATE TABLE run.seen (key BLOB PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID")
            self._read.execute("CREATE TABLE run.passed (span INTEGER PRIMARY KEY)")

    def close(self) -> None:
        """Close both connections."""
        self._read.close()
        self._write.close()

    def look_up(self, keys: Sequence[bytes]) -> dict[bytes, Known]:
        """Return what is known of `keys`, at most a few thousand at once."""
        columns = "key, number, state, digest, stamp, asked_at, code, line, span, span IN (SELECT span FROM run.passed)"
        sql = f"SELECT {columns} FROM rows WHERE key IN ({_marks(keys)})"  # noqa: S608 - only marks
        with translated(self._path):
            return {known[0]: Known._make(known) for known in self._read.execute(sql, keys)}

    def spans(self, line: int, count: int) -> list[Checkpoint]:
        """Return the next `count` spans that begin at `line` or below."""
        with translated(self._path):
            return read_spans(self._read, line, count)

    def pass_over(self, span: int) -> None:
        """Note that all rows of a span stand in this run's manifest."""
        with translated(self._path):
            self._read.execute("INSERT INTO run.passed VALUES (?)", (span,))

    def see(self, lines: Mapping[bytes, int]) -> dict[bytes, int]:
        """Note the keys of this run with their lines; return those that an earlier line had, with that line."""
        sql = f"SELECT key, line FROM run.seen WHERE key IN ({_marks(lines)})"  # noqa: S608 - only marks
        with translated(self._path):
            self._read.execute("BEGIN")
            added = self._read.executemany("INSERT OR IGNORE INTO run.seen VALUES (?, ?)", lines.items()).rowcount
            self._read.execute("COMMIT")
            if added == len(lines):
                return {}
            return {key: line for key, line in self._read.execute(sql, list(lines)) if line != lines[key]}

    def asked(self, question: bytes, *, not_before: float = 0.0) -> bool:
        """Tell whether some row with this question has its answers, none asked before `not_before` (Unix time)."""
        sql = "SELECT 1 FROM rows WHERE question = ? AND prints != x'' AND asked_at >= ? LIMIT 1"
        with translated(self._path):
            return self._read.execute(sql, (question, not_before)).fetchone() is not None

    def prints(self, key: bytes) -> list[bytes]:
        """Return the fingerprints of a row's answers."""
        with translated(self._path):
            row = self._read.execute("SELECT prints FROM rows WHERE key = ?", (key,)).fetchone()
        return _split(row[0]) if row else []

    def mark(
        self,
        entries: Sequence[Entry],
        lengths: Mapping[str, int],
        open_checkpoints: Sequence[OpenCheckpoint] = (),
        changes: Mapping[str, int] | None = None,
    ) -> None:
        """Commit rows together with the length of each output file, synced; a line that is superseded is counted.

        `changes` says when each file was changed last (ns).
        """
        keys = [entry.key for entry in entries]
        states = f"SELECT count(*) FROM rows WHERE state != 0 AND key IN ({_marks(keys)})"  # noqa: S608 - only marks
        with translated(self._path), transaction(self._write, synced=True):
            stale = self._write.execute(states, keys).fetchone()[0]
            self._leave(keys)
            self._write.executemany(_UPSERT, [tuple(getattr(entry, name) for name in _COLUMNS) for entry in entries])
            for open_checkpoint in open_checkpoints:
                self._settle(open_checkpoint)
            spans = [
                *(entry.span for entry in entries),
                *(open_checkpoint.span.id for open_checkpoint in open_checkpoints),
            ]
            self._set({"span": max([self.number("span"), *spans])})
            self._set({f"length {name}": length for name, length in lengths.items()})
            self._set({f"changed {name}": at for name, at in (changes or {}).items()})
            if stale:
                self._set({"stale": self.number("stale") + stale})

    def _leave(self, keys: Sequence[bytes]) -> None:
        """Forget the spans that these rows stood in: they are no longer what was written down of them."""
        sql = f"DELETE FROM spans WHERE id IN (SELECT span FROM rows WHERE key IN ({_marks(keys)}))"  # noqa: S608 - only marks
        self._write.execute(sql, keys)

    def _settle(self, open_checkpoint: OpenCheckpoint) -> None:
        """Write a whole span; its rows that were done before belong to it from now on."""
        self._write.executemany("DELETE FROM spans WHERE id = ?", [(span,) for span in open_checkpoint.left])
        moves = [(line, open_checkpoint.span.id, number) for number, line in open_checkpoint.moved]
        self._write.executemany("UPDATE rows SET line = ?, span = ? WHERE number = ?", moves)
        write_span(self._write, open_checkpoint.span)

    def number(self, name: str) -> int:
        """Return a number kept in the ledger, 0 where it was never set."""
        with translated(self._path):
            row = self._write.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def committed(self, name: str) -> int:
        """Return the committed length of an output file, in bytes."""
        return self.number(f"length {name}")

    def changed(self, name: str) -> int:
        """Return when an output file was changed last (ns), as far as we changed it."""
        return self.number(f"changed {name}")

    def note_change(self, name: str, at: int) -> None:
        """Commit that an output file is as it should be, changed last at `at` (ns)."""
        if at != self.changed(name):
            with translated(self._path), transaction(self._write):
                self._set({f"changed {name}": at})

    def cut(self, name: str, states: Sequence[State], size: int) -> int:
        """Put back the rows whose lines lie past `size` (the file lost its end); return the length of what remains."""
        which = f"state IN ({_numbers(states)})"
        with translated(self._path), transaction(self._write, synced=True):
            lost = f"{which} AND place + length > ?"
            self._write.execute(f"DELETE FROM spans WHERE id IN (SELECT span FROM rows WHERE {lost})", (size,))  # noqa: S608 - numbers
            self._write.execute(f"UPDATE rows SET state = 0 WHERE {lost}", (size,))  # noqa: S608 - numbers
            whole = self._write.execute(f"SELECT max(place + length) FROM rows WHERE {which}").fetchone()[0] or 0  # noqa: S608 - numbers
            self._set({f"length {name}": whole})
        return int(whole)

    def counts(self) -> dict[State, int]:
        """Return how many rows stand in each state."""
        with translated(self._path):
            found = self._read.execute("SELECT state, count(*) FROM rows GROUP BY state").fetchall()
        return {State(state): count for state, count in found}

    def failures(self) -> dict[str, int]:
        """Return how many rows failed, by code, most first."""
        which = f"state IN ({_numbers(FAILED_STATES)})"
        sql = f"SELECT code, count(*) FROM rows WHERE {which} GROUP BY code ORDER BY 2 DESC"  # noqa: S608 - numbers
        with translated(self._path):
            return dict(self._read.execute(sql))

    def reset(self, code: str | None = None) -> int:
        """Put failed rows (of one code) back to be tried again, their stored answers forgotten; return how many."""
        which = f"state IN ({_numbers(FAILED_STATES)})" + (" AND code = ?" if code else "")
        values = [code] if code else []
        with translated(self._path), transaction(self._write, synced=True):
            found = self._write.execute(f"SELECT prints FROM rows WHERE {which}", values)  # noqa: S608 - fixed text
            prints = [(fingerprint,) for (joined,) in found for fingerprint in _split(joined)]
            self._write.executemany("DELETE FROM answers WHERE print = ?", prints)
            self._write.execute(f"DELETE FROM spans WHERE id IN (SELECT span FROM rows WHERE {which})", values)  # noqa: S608 - fixed text
            sql = f"UPDATE rows SET state = {State.RETRYABLE:d}, prints = x'' WHERE {which}"  # noqa: S608 - fixed text
            return self._write.execute(sql, values).rowcount

    def forget_unseen(self, states: Sequence[State]) -> int:
        """Drop the rows in `states` that no line of this run's manifest named; return how many."""
        sql = (
            f"SELECT key FROM rows WHERE state IN ({_numbers(states)}) "  # noqa: S608 - numbers
            "AND span NOT IN (SELECT span FROM run.passed) AND key NOT IN (SELECT key FROM run.seen)"
        )
        dropped = 0
        with translated(self._path):
            for found in chunks(self._read.execute(sql), 1000):
                with transaction(self._write):
                    self._leave([key for (key,) in found])
                    dropped += self._write.executemany("DELETE FROM rows WHERE key = ?", found).rowcount
                    self._set({"stale": self.number("stale") + len(found)})
        return dropped

    def lines(self, states: Sequence[State]) -> Iterator[tuple[bytes, int, int]]:
        """Yield key, place and length of each line that counts, in the order of its file."""
        sql = f"SELECT key, place, length FROM rows WHERE state IN ({_numbers(states)}) ORDER BY place"  # noqa: S608 - numbers
        with translated(self._path):
            yield from self._read.execute(sql)

    def begin_move(self, name: str, lines: Iterable[tuple[bytes, int, int]]) -> int:
        """Commit that file `name` is about to be replaced by one with these lines (key, place, length).

        `lines` may write the new file while it is iterated; its end must be on the disk when it is exhausted.
        Returns the new file's length.
        """
        length = 0
        with translated(self._path), transaction(self._write, synced=True):
            self._write.execute("DELETE FROM moved")
            for chunk in chunks(lines, 1000):
                self._write.executemany("INSERT INTO moved VALUES (?, ?, ?)", chunk)
                length = chunk[-1][1] + chunk[-1][2]
            self._set({f"moving {name}": length + 1})
        return length

    def moving(self, name: str) -> int | None:
        """Return the new length of a file whose replacement has begun, None where none has."""
        length = self.number(f"moving {name}")
        return length - 1 if length else None

    def finish_move(self, name: str, length: int, changed: int) -> None:
        """Commit the new places: the file has been replaced by one that was changed last at `changed` (ns)."""
        with translated(self._path), transaction(self._write, synced=True):
            self._write.execute(
                "UPDATE rows SET place = moved.place, length = moved.length FROM moved WHERE moved.key = rows.key"
            )
            self._write.execute("DELETE FROM moved")
            self._set({f"length {name}": length, f"changed {name}": changed, f"moving {name}": 0})

    def settle(self) -> None:
        """Commit that no superseded line is left in the files."""
        with translated(self._path), transaction(self._write):
            self._set({"stale": 0})

    def _set(self, values: Mapping[str, int]) -> None:
        self._write.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(values.items()))


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield `items` in lists of up to `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _marks(values: Iterable[object]) -> str:
    return ",".join("?" for _ in values)


def _numbers(states: Iterable[State]) -> str:
    return ",".join(str(int(state)) for state in states)


def _split(prints: bytes) -> list[bytes]:
    return [prints[start : start + 32] for start in range(0, len(prints), 32)]
