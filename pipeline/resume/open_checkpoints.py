"""Spans that wait for rows on their way: each is whole once the last of its rows has its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.state.checkpoints import OpenCheckpoint
from pipeline.state.ledger import Entry, State


class OpenCheckpoints:
    """The drafts of one run; those whose rows are not all reached, or will be tried again, are never whole."""

    def __init__(self) -> None:
        self._open: dict[int, OpenCheckpoint] = {}
        self._whole: list[OpenCheckpoint] = []

    def begin(self, open_checkpoint: OpenCheckpoint) -> None:
        """Take a draft, before any of its rows."""
        if open_checkpoint.waiting:
            self._open[open_checkpoint.span.id] = open_checkpoint
        else:
            self._whole.append(open_checkpoint)

    def finish(self, entries: Sequence[Entry]) -> list[OpenCheckpoint]:
        """Count rows that get their lines; return the drafts that are whole now."""
        grouped: dict[int, list[Entry]] = {}
        for entry in entries:
            grouped.setdefault(entry.span, []).append(entry)
        for span in grouped.keys() & self._open.keys():
            self._count(self._open.pop(span), grouped[span])
        whole, self._whole = self._whole, []
        return whole

    def _count(self, open_checkpoint: OpenCheckpoint, entries: Sequence[Entry]) -> None:
        if any(entry.state is State.RETRYABLE for entry in entries):
            return
        done = [entry.asked_at for entry in entries if entry.state is State.DONE]
        failed = [entry.code for entry in entries if entry.state is State.FAILED]
        self.begin(
            replace(
                open_checkpoint,
                span=open_checkpoint.span.counting(done, failed),
                waiting=open_checkpoint.waiting - len(entries),
            )
        )
