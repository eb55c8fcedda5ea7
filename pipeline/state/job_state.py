"""All that lasts of one job, opened together: its rows, its stored answers, what is known of its output files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.state.answer_store import AnswerStore
from pipeline.state.checkpoints import OpenCheckpoint
from pipeline.state.database import StateDatabase, open_database
from pipeline.state.history import History
from pipeline.state.known_rows import KnownRows
from pipeline.state.ledger import Ledger, LedgerEntry
from pipeline.state.migrations import migrate
from pipeline.state.notices import Notices
from pipeline.state.output_files import OutputFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """The state of one job; its parts share the connections of `database`."""

    database: StateDatabase
    ledger: Ledger
    known_rows: KnownRows
    answers: AnswerStore
    files: OutputFiles
    history: History
    notices: Notices

    def commit(
        self,
        entries: Sequence[LedgerEntry],
        complete: Sequence[OpenCheckpoint] = (),
        *,
        lengths: Mapping[str, int],
        changed: Mapping[str, int],
    ) -> None:
        """Mark rows together with the length of each output file and when it was changed (ns), in one synced commit."""
        with self.database.transaction(synced=True):
            superseded = self.ledger.mark(entries, complete)
            self.files.commit(lengths, changed, superseded)


@contextmanager
def open_state(path: Path) -> Iterator[JobState]:
    """Open the state at `path`, made or migrated where need be, until the context ends; see `migrate`."""
    migrate(path)
    with open_database(path) as database:
        yield JobState(
            database=database,
            ledger=Ledger(database),
            known_rows=KnownRows(database),
            answers=AnswerStore(database),
            files=OutputFiles(database),
            history=History(database),
            notices=Notices(database),
        )
