"""What is still to be done: each row of the manifest against the ledger, a stretch at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import count
from typing import NamedTuple

import orjson

from pipeline.manifest import Segment
from pipeline.records import Failure, LocalFile, Row, image_name
from pipeline.state.checkpoints import Checkpoint, OpenCheckpoint, digest_stamps, pack_names, stamp
from pipeline.state.ledger import Known, Ledger, State

_SPANS_AHEAD = 16
_REPEATED = "repeated-id"
# Failures that depend on other lines, or on links below the root: their lines are read again each time.
_NEVER_SETTLED = {_REPEATED, "outside-root"}
_SETTLED = (State.DONE, State.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRow:
    """A line of the manifest that is to be done, with what the ledger remembers of it.

    `span` is the one it fills; `has_record` tells whether an earlier run left a record of its id.
    """

    item: Row | Failure
    key: bytes
    digest: bytes
    stamp: bytes
    span: int = 0
    has_record: bool = False


@dataclass(slots=True, kw_only=True)
class Changes:
    """Lines of the manifest: what is to do (rows, and lines that fail as they are), what was done or failed before.

    `failed_before` counts the latter by code. `draft` is the span that they become, where they can be one.
    """

    rows: int
    pending_row: list[PendingRow] = field(default_factory=list)
    done_before: int = 0
    failed_before: Counter[str] = field(default_factory=Counter)
    open_checkpoint: OpenCheckpoint | None = None


class _Look(NamedTuple):
    """A line beside what the ledger knows of it; `state` is WAITING where it, its picture or its request is new."""

    item: Row | Failure
    key: bytes
    digest: bytes
    stamp: bytes
    state: int
    before: Known | None


class ChangeDetector:
    """Sifts rows. `settings` stands for all that is asked beside the row; answers before `not_before` don't count.

    Lines come from front to end. A repeated id is found among the rows seen so far: those of the spans that were passed
    over, and those that were looked at one by one.
    """

    def __init__(self, ledger: Ledger, settings: bytes, *, not_before: float = 0.0) -> None:
        self.settings = settings
        self._ledger = ledger
        self._not_before = not_before
        self._ids = count(ledger.number("span") + 1)
        self._met: set[int] = set()

    def spans(self, line: int) -> list[Checkpoint]:
        """Return what may be passed over from `line` on."""
        return self._ledger.spans(line, _SPANS_AHEAD)

    def detect_segment(self, segment: Segment[Checkpoint]) -> Changes:
        """Tell what a stretch of the manifest needs: nothing where it is a span of which nothing has changed."""
        span = segment.known
        if span is not None and self._is_settled(span, segment.root):
            self._ledger.pass_over(span.id)
            return Changes(rows=span.rows, done_before=span.done, failed_before=span.failures())
        looks = self._look(segment.rows())
        if not segment.is_closed or any(isinstance(i, Failure) and i.code in _NEVER_SETTLED for i, *_ in looks):
            return _changes(looks, 0)
        open_checkpoint = _open_checkpoint(next(self._ids), segment, looks)
        return replace(_changes(looks, open_checkpoint.span.id), open_checkpoint=open_checkpoint)

    def detect(self, batch: Sequence[Row | Failure]) -> Changes:
        """Tell what a batch needs; an id that an earlier line had is a failure of its own line."""
        return _changes(self._look(batch), 0)

    def question(self, pending_row: PendingRow, source_sha256: str) -> bytes:
        """Return 16 bytes that are equal for rows whose pictures and requests are, whatever their ids."""
        row = pending_row.item
        asked = [row.crop, row.query, row.site, row.market] if isinstance(row, Row) else []
        return _digest(orjson.dumps([source_sha256, *asked]), self.settings)

    def _is_settled(self, span: Checkpoint, root: str) -> bool:
        """Tell whether a span's rows need no look: none stood further above, no answer is too old, no picture new."""
        return span.id not in self._met and span.asked_at >= self._not_before and span.has_its_pictures(root)

    def _look(self, batch: Sequence[Row | Failure]) -> list[_Look]:
        """Look each line up."""
        keyed = [(_key(item), item) for item in batch]
        known = self._ledger.look_up([key for key, _ in keyed])
        repeats = self._tell_apart(keyed, known)
        known |= self._ledger.look_up(list(repeats))
        self._ledger.see(repeats)
        self._met.update(row.span for row in known.values() if not row.is_seen)
        return [self._beside(item, key, known.get(key)) for key, item in keyed]

    def _tell_apart(self, keyed: list[tuple[bytes, Row | Failure]], known: Mapping[bytes, Known]) -> dict[bytes, int]:
        """Put a failure with its own key in place of each line whose id stands further above; return these lines."""
        first = {key: row.line for key, row in known.items() if row.is_seen}
        others: dict[bytes, int] = {}
        for key, item in keyed:
            if key not in first:
                others.setdefault(key, item.line)
        first |= others | self._ledger.see(others)
        repeats: dict[bytes, int] = {}
        for place, (key, item) in enumerate(keyed):
            if first[key] != item.line:
                failure = _repeat(item, first[key])
                keyed[place] = (_line_key(failure), failure)
                repeats[keyed[place][0]] = item.line
        return repeats

    def _beside(self, item: Row | Failure, key: bytes, before: Known | None) -> _Look:
        digest, taken = self._digest(item), _stamp(item)
        state = State.WAITING if before is None else self._state(before, digest, taken)
        return _Look(item, key, digest, taken, state, before)

    def _state(self, before: Known, digest: bytes, taken: bytes) -> int:
        if before.digest != digest or before.stamp != taken:
            return State.WAITING
        if before.state == State.DONE and before.asked_at < self._not_before:
            return State.WAITING
        return before.state

    def _digest(self, item: Row | Failure) -> bytes:
        """Return 16 bytes for all that a row's line in the output comes from, but for the picture's content."""
        if isinstance(item, Failure):
            return _digest(orjson.dumps([item.message, item.image]))
        asked = [image_name(item.image), item.crop, item.query, item.site, item.market, dict(item.carry)]
        return _digest(orjson.dumps(asked), self.settings)


def _changes(looks: Sequence[_Look], span: int) -> Changes:
    """Sort what is to do, for the span with this id, from what is not."""
    changes = Changes(rows=len(looks))
    for look in looks:
        if look.state == State.DONE:
            changes.done_before += 1
        elif look.state == State.FAILED and look.before is not None:
            changes.failed_before[look.before.code] += 1
        else:
            changes.pending_row.append(_pending_row(look, span))
    return changes


def _pending_row(look: _Look, span: int) -> PendingRow:
    return PendingRow(
        item=look.item,
        key=look.key,
        digest=look.digest,
        stamp=look.stamp,
        span=span,
        has_record=look.before is not None and look.before.state == State.DONE,
    )


def _open_checkpoint(span: int, segment: Segment[Checkpoint], looks: Sequence[_Look]) -> OpenCheckpoint:
    """Return the span that a stretch becomes once the rows that are to do have their lines."""
    # Twice only where a picture changed in between: such stamps never come again, and its rows are looked at.
    local = dict.fromkeys((picture.name, look.stamp) for look in looks if (picture := _picture(look.item)))
    settled = [(look.before, look.item.line) for look in looks if look.before and look.state in _SETTLED]
    empty = Checkpoint(
        id=span,
        line=segment.line,
        lines=segment.lines,
        rows=len(looks),
        digest=segment.digest,
        pictures=pack_names([name for name, _ in local]),
        stamps=digest_stamps(taken for _, taken in local),
    )
    done = [row.asked_at for row, _ in settled if row.state == State.DONE]
    failed = [row.code for row, _ in settled if row.state == State.FAILED]
    return OpenCheckpoint(
        span=empty.counting(done, failed),
        waiting=len(looks) - len(settled),
        moved=[(row.number, line) for row, line in settled],
        left=frozenset(row.span for row, _ in settled),
    )


def row_key(row_id: str) -> bytes:
    """Return the 16 bytes a row is known by."""
    return blake2b(row_id.encode(), digest_size=16, person=b"id").digest()


def _key(item: Row | Failure) -> bytes:
    return _line_key(item) if item.id is None else row_key(item.id)


def _line_key(item: Row | Failure) -> bytes:
    code = item.code if isinstance(item, Failure) else ""
    return blake2b(f"{item.line} {code}".encode(), digest_size=16, person=b"line").digest()


def _digest(said: bytes, key: bytes = b"") -> bytes:
    return blake2b(said, digest_size=16, key=key).digest()


def _picture(item: Row | Failure) -> LocalFile | None:
    return item.image if isinstance(item, Row) and isinstance(item.image, LocalFile) else None


def _stamp(item: Row | Failure) -> bytes:
    """Return the stamp of a row's local picture, nothing where it has none."""
    picture = _picture(item)
    return b"" if picture is None else stamp(picture.path)


def _repeat(item: Row | Failure, line: int) -> Failure:
    image = item.image if isinstance(item, Failure) else image_name(item.image)
    message = f"the id {item.id!r} stands in line {line} already; give line {item.line} an id of its own"
    return Failure(
        id=item.id,
        line=item.line,
        ordinal=item.ordinal,
        image=image,
        stage="manifest",
        code=_REPEATED,
        message=message,
    )
