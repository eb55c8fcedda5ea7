"""Checkpoints that wait for rows on their way: each is complete once the last of its rows has its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.state.checkpoints import OpenCheckpoint
from pipeline.state.ledger import LedgerEntry, State


class OpenCheckpoints:
    """The open checkpoints of one run; one with a row that is not reached, or to be tried again, is never complete."""

    def __init__(self) -> None:
        self._open: dict[int, OpenCheckpoint] = {}
        self._complete: list[OpenCheckpoint] = []

    def begin(self, open_checkpoint: OpenCheckpoint) -> None:
        """Take a checkpoint, before any of its rows."""
        if open_checkpoint.waiting:
            self._open[open_checkpoint.checkpoint.id] = open_checkpoint
        else:
            self._complete.append(open_checkpoint)

    def finish(self, entries: Sequence[LedgerEntry]) -> list[OpenCheckpoint]:
        """Count rows that get their lines; return the checkpoints that are complete now."""
        grouped: dict[int, list[LedgerEntry]] = {}
        for entry in entries:
            grouped.setdefault(entry.checkpoint, []).append(entry)
        for checkpoint in grouped.keys() & self._open.keys():
            self._count(self._open.pop(checkpoint), grouped[checkpoint])
        complete, self._complete = self._complete, []
        return complete

    def _count(self, open_checkpoint: OpenCheckpoint, entries: Sequence[LedgerEntry]) -> None:
        if any(entry.state is State.RETRYABLE for entry in entries):
            return
        done = [entry.asked_at for entry in entries if entry.state is State.DONE]
        failed = [entry.code for entry in entries if entry.state is State.FAILED]
        self.begin(
            replace(
                open_checkpoint,
                checkpoint=open_checkpoint.checkpoint.counting(done, failed),
                waiting=open_checkpoint.waiting - len(entries),
            )
        )
