"""What is still to be done: each row of the manifest compared with the ledger, a segment at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import NamedTuple

from pipeline.manifest import Segment
from pipeline.records import Failure, Row, Skipped, image_name
from pipeline.resume.keys import cache_key, content_key, item_key, line_key, local_picture, picture_stamp
from pipeline.state.checkpoints import Checkpoint, OpenCheckpoint, digest_stamps, pack_names
from pipeline.state.known_rows import KnownRow, KnownRows
from pipeline.state.ledger import State

_CHECKPOINTS_AHEAD = 16
_REPEATED = "repeated-id"
# Failures that depend on other lines, or on links below the root: their lines are read again each time.
_ALWAYS_READ = {_REPEATED, "outside-root"}
_FINAL = (State.DONE, State.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRow:
    """A line of the manifest that is to be done, with what the ledger remembers of it.

    `checkpoint` is the id of the one it fills. `has_record`: an earlier run left a record of its id.
    """

    item: Row | Failure
    row_key: bytes
    content_key: bytes
    file_stamp: bytes
    checkpoint: int = 0
    has_record: bool = False


@dataclass(slots=True, kw_only=True)
class Changes:
    """Lines of the manifest: how many there are, and which are to be done (rows, and lines that fail as they are).

    The others were done or have failed before; `failed_before` counts the latter by code, `skipped` what is no row by
    choice. `open_checkpoint` is what the lines become once all are done, where they can become one.
    """

    rows: int
    pending_rows: list[PendingRow] = field(default_factory=list)
    done_before: int = 0
    failed_before: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    open_checkpoint: OpenCheckpoint | None = None


class _Comparison(NamedTuple):
    """A line beside what the ledger knows of it; `state` is WAITING where it, its picture or its request is new."""

    item: Row | Failure
    row_key: bytes
    content_key: bytes
    file_stamp: bytes
    state: int
    known: KnownRow | None


class ChangeDetector:
    """Compares rows with the ledger; they come from front to end.

    `settings` stands for all that is asked beside the row; answers before `not_before` (Unix time) don't count. A
    repeated id is looked for among the rows seen so far: those of the checkpoints that were passed over, and those that
    were compared one by one.
    """

    def __init__(self, known_rows: KnownRows, settings: bytes, *, not_before: float = 0.0) -> None:
        self.settings = settings
        self._known_rows = known_rows
        self._not_before = not_before
        self._ids = count(known_rows.last_checkpoint() + 1)
        self._moved_from: set[int] = set()

    def checkpoints(self, line: int) -> list[Checkpoint]:
        """Return the checkpoints that may be passed over from `line` on."""
        return self._known_rows.checkpoints(line, _CHECKPOINTS_AHEAD)

    def detect_segment(self, segment: Segment[Checkpoint]) -> Changes:
        """Return what is to be done of a segment: nothing where it is a checkpoint of which nothing has changed."""
        checkpoint = segment.known
        if checkpoint is not None and self._is_unchanged(checkpoint, segment.root):
            self._known_rows.pass_over(checkpoint.id)
            failures = checkpoint.failures()
            rows = checkpoint.done + failures.total()
            skipped = checkpoint.rows - rows
            return Changes(rows=rows, done_before=checkpoint.done, failed_before=failures, skipped=skipped)
        items = segment.items()
        lines = self._compare([item for item in items if not isinstance(item, Skipped)])
        skipped = len(items) - len(lines)
        if not segment.is_closed or any(isinstance(i, Failure) and i.code in _ALWAYS_READ for i, *_ in lines):
            return replace(_changes(lines, 0), skipped=skipped)
        opened = _open_checkpoint(next(self._ids), segment, lines, len(items))
        return replace(_changes(lines, opened.checkpoint.id), skipped=skipped, open_checkpoint=opened)

    def detect(self, batch: Sequence[Row | Failure]) -> Changes:
        """Return what is to be done of a batch; an id that an earlier line had is a failure of its own line."""
        return _changes(self._compare(batch), 0)

    def cache_key(self, pending_row: PendingRow, source_sha256: str) -> bytes:
        """Return the cache key of a row whose picture has this hash."""
        return cache_key(pending_row.item, source_sha256, self.settings)

    def _is_unchanged(self, checkpoint: Checkpoint, root: str) -> bool:
        """Return True if no row of a checkpoint was moved further up, no answer is too old, and no picture is new."""
        return (
            checkpoint.id not in self._moved_from
            and checkpoint.asked_at >= self._not_before
            and checkpoint.has_its_pictures(root)
        )

    def _compare(self, batch: Sequence[Row | Failure]) -> list[_Comparison]:
        """Look each line up."""
        keyed = [(item_key(item), item) for item in batch]
        known = self._known_rows.look_up([key for key, _ in keyed])
        repeats = self._separate_repeats(keyed, known)
        known |= self._known_rows.look_up(list(repeats))
        self._known_rows.note_seen(repeats)
        self._moved_from.update(row.checkpoint for row in known.values() if not row.is_passed)
        return [self._compare_one(item, key, known.get(key)) for key, item in keyed]

    def _separate_repeats(
        self, keyed: list[tuple[bytes, Row | Failure]], known: Mapping[bytes, KnownRow]
    ) -> dict[bytes, int]:
        """Put a failure with a key of its own in place of each line that repeats an id; return these keys and lines."""
        first = {key: row.line for key, row in known.items() if row.is_passed}
        others: dict[bytes, int] = {}
        for key, item in keyed:
            if key not in first:
                others.setdefault(key, item.line)
        first |= others | self._known_rows.note_seen(others)
        repeats: dict[bytes, int] = {}
        for place, (key, item) in enumerate(keyed):
            if first[key] != item.line:
                failure = _repeat(item, first[key])
                keyed[place] = (line_key(failure), failure)
                repeats[keyed[place][0]] = item.line
        return repeats

    def _compare_one(self, item: Row | Failure, key: bytes, known: KnownRow | None) -> _Comparison:
        content, stamp = content_key(item, self.settings), picture_stamp(item)
        state = State.WAITING if known is None else self._state(known, content, stamp)
        return _Comparison(item, key, content, stamp, state, known)

    def _state(self, known: KnownRow, content: bytes, stamp: bytes) -> int:
        if known.content_key != content or known.file_stamp != stamp:
            return State.WAITING
        if known.state == State.DONE and known.asked_at < self._not_before:
            return State.WAITING
        return known.state


def _changes(lines: Sequence[_Comparison], checkpoint: int) -> Changes:
    """Separate what is to be done, for the checkpoint with this id, from what is not."""
    changes = Changes(rows=len(lines))
    for line in lines:
        if line.state == State.DONE:
            changes.done_before += 1
        elif line.state == State.FAILED and line.known is not None:
            changes.failed_before[line.known.code] += 1
        else:
            changes.pending_rows.append(_pending_row(line, checkpoint))
    return changes


def _pending_row(line: _Comparison, checkpoint: int) -> PendingRow:
    return PendingRow(
        item=line.item,
        row_key=line.row_key,
        content_key=line.content_key,
        file_stamp=line.file_stamp,
        checkpoint=checkpoint,
        has_record=line.known is not None and line.known.state == State.DONE,
    )


def _open_checkpoint(
    checkpoint: int, segment: Segment[Checkpoint], lines: Sequence[_Comparison], items: int
) -> OpenCheckpoint:
    """Return the checkpoint that a segment of so many items becomes once its pending rows have their lines."""
    # Twice only where a picture changed in between: such stamps never come again, and its rows are compared.
    local = dict.fromkeys((picture.name, line.file_stamp) for line in lines if (picture := local_picture(line.item)))
    final = [(line.known, line.item.line) for line in lines if line.known and line.state in _FINAL]
    empty = Checkpoint(
        id=checkpoint,
        line=segment.line,
        lines=segment.lines,
        rows=items,
        digest=segment.digest,
        pictures=pack_names([name for name, _ in local]),
        file_stamps=digest_stamps(stamp for _, stamp in local),
    )
    done = [row.asked_at for row, _ in final if row.state == State.DONE]
    failed = [row.code for row, _ in final if row.state == State.FAILED]
    return OpenCheckpoint(
        checkpoint=empty.counting(done, failed),
        waiting=len(lines) - len(final),
        moved=[(row.number, line) for row, line in final],
        left=frozenset(row.checkpoint for row, _ in final),
    )


def _repeat(item: Row | Failure, line: int) -> Failure:
    image = item.image if isinstance(item, Failure) else image_name(item.image)
    message = f"the id {item.id!r} is in line {line} already; give line {item.line} an id of its own"
    return Failure(
        id=item.id,
        line=item.line,
        ordinal=item.ordinal,
        image=image,
        stage="manifest",
        code=_REPEATED,
        message=message,
    )
