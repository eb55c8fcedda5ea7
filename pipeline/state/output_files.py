"""What the state knows of the output files: how much of each is committed, and where each row's line is.

A file is replaced in three steps. The new file is written beside the old one and the places of its lines are committed
("moving"), the file is renamed, the places take effect. A run that is killed in between is finished by the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline.state.checkpoints import drop_checkpoints
from pipeline.state.database import StateDatabase, chunks
from pipeline.state.ledger import State, numbers

_SUPERSEDED = "superseded lines"

# A row key, the offset of the row's line in the file, and the line's length.
LinePlace = tuple[bytes, int, int]


class OutputFiles:
    """The output files of one job, by name. Raises OutputError where the database can't be used."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    def committed(self, name: str) -> int:
        """Return the committed length of a file, in bytes."""
        return self._database.number(f"length {name}")

    def changed(self, name: str) -> int:
        """Return when a file was changed last (ns), as far as we changed it."""
        return self._database.number(f"changed {name}")

    def commit(self, lengths: Mapping[str, int], changed: Mapping[str, int], superseded: int) -> None:
        """Commit the length of each file and when it was changed (ns), synced; `superseded` lines no longer count."""
        with self._database.transaction(synced=True):
            self._set("length", lengths)
            self._set("changed", changed)
            self.add_superseded(superseded)

    def note_change(self, name: str, at: int) -> None:
        """Commit that a file is as it should be, changed last at `at` (ns)."""
        if at != self.changed(name):
            self._set("changed", {name: at})

    def superseded(self) -> int:
        """Return how many lines of the files no longer count."""
        return self._database.number(_SUPERSEDED)

    def add_superseded(self, lines: int) -> None:
        """Count lines that no longer count."""
        if lines:
            self._database.set_number(_SUPERSEDED, self.superseded() + lines)

    def mark_compacted(self) -> None:
        """Commit that every line of the files counts."""
        self._database.set_number(_SUPERSEDED, 0)

    def lines(self, states: Sequence[State]) -> Iterator[LinePlace]:
        """Yield the lines of the rows in `states`, in the order of their file."""
        sql = f"SELECT row_key, offset, length FROM rows WHERE state IN ({numbers(states)}) ORDER BY offset"  # noqa: S608 - numbers
        with self._database.reading() as reader:
            yield from reader.execute(sql)

    def in_manifest_order(self) -> Iterator[tuple[bytes, State, int, int]]:
        """Yield row key, state, offset and length of each row that has a line, in the order of the manifest."""
        sql = "SELECT row_key, state, offset, length FROM rows WHERE state != 0 ORDER BY line, ordinal, number"
        with self._database.reading() as reader:
            for row_key, state, offset, length in reader.execute(sql):
                yield row_key, State(state), offset, length

    def place(self, row_key: bytes) -> tuple[State, int, int] | None:
        """Return state, offset and length of the line of a row, None where it has none."""
        sql = "SELECT state, offset, length FROM rows WHERE row_key = ? AND state != 0"
        with self._database.reading() as reader:
            row = reader.execute(sql, (row_key,)).fetchone()
        return None if row is None else (State(row[0]), row[1], row[2])

    def cut(self, name: str, states: Sequence[State], size: int) -> int:
        """Put back the rows whose lines are past `size` (the file lost its end); return the length of what remains."""
        inside = f"state IN ({numbers(states)})"
        lost = f"{inside} AND offset + length > ?"
        with self._database.transaction(synced=True) as writer:
            drop_checkpoints(writer, lost, (size,))
            writer.execute(f"UPDATE rows SET state = {State.WAITING:d} WHERE {lost}", (size,))  # noqa: S608 - numbers
            sql = f"SELECT max(offset + length) FROM rows WHERE {inside}"  # noqa: S608 - numbers
            whole = int(writer.execute(sql).fetchone()[0] or 0)
            self._set("length", {name: whole})
        return whole

    def begin_move(self, name: str, lines: Iterable[LinePlace]) -> int:
        """Commit that a file is about to be replaced by one with these lines; return the new file's length.

        `lines` may write the new file while it is iterated; its end must be on the disk when it is exhausted.
        """
        length = 0
        with self._database.transaction(synced=True) as writer:
            writer.execute("DELETE FROM moved")
            for chunk in chunks(lines, 1000):
                writer.executemany("INSERT INTO moved (row_key, offset, length) VALUES (?, ?, ?)", chunk)
                length = chunk[-1][1] + chunk[-1][2]
            self._set("moving", {name: length + 1})
        return length

    def moving(self, name: str) -> int | None:
        """Return the new length of a file whose replacement has begun, None where none has."""
        length = self._database.number(f"moving {name}")
        return length - 1 if length else None

    def finish_move(self, name: str, length: int, changed: int) -> None:
        """Commit the new places: the file has been replaced by one that was changed last at `changed` (ns)."""
        with self._database.transaction(synced=True) as writer:
            writer.execute(
                "UPDATE rows SET offset = moved.offset, length = moved.length FROM moved "
                "WHERE moved.row_key = rows.row_key"
            )
            writer.execute("DELETE FROM moved")
            self._set("length", {name: length})
            self._set("changed", {name: changed})
            self._set("moving", {name: 0})

    def _set(self, what: str, values: Mapping[str, int]) -> None:
        with self._database.transaction():
            for name, value in values.items():
                self._database.set_number(f"{what} {name}", value)
