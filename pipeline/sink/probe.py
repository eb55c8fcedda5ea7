"""What is still to be done: each row of the manifest against the ledger, a batch at a time."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import orjson

from pipeline.records import Failure, LocalFile, Row
from pipeline.sink.ledger import Known, Ledger, State
from pipeline.sink.record import image_name

_STAMP = struct.Struct("<qq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """A line of the manifest that is to be done, with what the ledger remembers of it."""

    item: Row | Failure
    key: bytes
    digest: bytes
    stamp: bytes


@dataclass(slots=True)
class Sifted:
    """One batch of the manifest: what is to do (rows, and lines that fail as they are), what was done or failed before.

    `failed_before` holds the code of each such row.
    """

    todo: list[Todo] = field(default_factory=list)
    done_before: int = 0
    failed_before: list[str] = field(default_factory=list)


class Probe:
    """Sifts rows. `settings` stands for all that is asked beside the row; answers before `not_before` don't count."""

    def __init__(self, ledger: Ledger, settings: bytes, *, not_before: float = 0.0) -> None:
        self._ledger = ledger
        self._settings = settings
        self._not_before = not_before

    def sift(self, batch: Sequence[Row | Failure]) -> Sifted:
        """Tell what a batch needs; an id that an earlier line had is a failure of its own line."""
        todos = [self._todo(key, item) for key, item in self._told_apart(batch)]
        known = self._ledger.probe([todo.key for todo in todos])
        sifted = Sifted()
        for todo in todos:
            before = known.get(todo.key)
            state = self._state(todo, before)
            if state is State.DONE:
                sifted.done_before += 1
            elif before is not None and state is State.FAILED:
                sifted.failed_before.append(before.code)
            else:
                sifted.todo.append(todo)
        return sifted

    def question(self, todo: Todo, source_sha256: str) -> bytes:
        """Return 16 bytes that are equal for rows whose pictures and requests are, whatever their ids."""
        row = todo.item
        asked = [row.crop, row.query, row.site, row.market] if isinstance(row, Row) else []
        return _digest(self._settings, source_sha256.encode(), orjson.dumps(asked))

    def _told_apart(self, batch: Sequence[Row | Failure]) -> list[tuple[bytes, Row | Failure]]:
        """Give each line its key: that of its id where it is the first with it, else that of the line itself."""
        first: dict[bytes, int] = {}
        for item in batch:
            first.setdefault(_key(item), item.line)
        first |= self._ledger.see(first)
        keyed: list[tuple[bytes, Row | Failure]] = []
        repeats: dict[bytes, int] = {}
        for item in batch:
            key = _key(item)
            if first[key] != item.line:
                item = _repeat(item, first[key])
                key = _line_key(item)
                repeats[key] = item.line
            keyed.append((key, item))
        self._ledger.see(repeats)
        return keyed

    def _todo(self, key: bytes, item: Row | Failure) -> Todo:
        if isinstance(item, Failure):
            said = orjson.dumps([item.message, item.image])
            return Todo(item=item, key=key, digest=_digest(said), stamp=b"")
        asked = orjson.dumps([image_name(item.image), item.crop, item.query, item.site, item.market, dict(item.carry)])
        return Todo(item=item, key=key, digest=_digest(self._settings, asked), stamp=_stamp(item))

    def _state(self, todo: Todo, known: Known | None) -> State:
        """Return where a row stands, WAITING where it, its picture or its request is new or changed."""
        if known is None or known.digest != todo.digest or known.stamp != todo.stamp:
            return State.WAITING
        if known.state is State.DONE and known.asked_at < self._not_before:
            return State.WAITING
        return known.state


def row_key(row_id: str) -> bytes:
    """Return the 16 bytes a row is known by."""
    return _digest(b"id", row_id.encode())


def _key(item: Row | Failure) -> bytes:
    return _line_key(item) if item.id is None else row_key(item.id)


def _line_key(item: Row | Failure) -> bytes:
    code = item.code if isinstance(item, Failure) else ""
    return _digest(b"line", str(item.line).encode(), code.encode())


def _repeat(item: Row | Failure, line: int) -> Failure:
    image = item.image if isinstance(item, Failure) else image_name(item.image)
    message = f"the id {item.id!r} stands in line {line} already; give line {item.line} an id of its own"
    return Failure(
        id=item.id,
        line=item.line,
        ordinal=item.ordinal,
        image=image,
        stage="manifest",
        code="repeated-id",
        message=message,
    )


def _stamp(row: Row) -> bytes:
    """Return size and modification time of a local picture: unchanged, it is not even opened again."""
    if not isinstance(row.image, LocalFile):
        return b""
    try:
        found = os.stat(row.image.path)  # noqa: PTH116 - Path.stat takes twice as long, a million times
    except OSError:
        return b""
    return _STAMP.pack(found.st_size, found.st_mtime_ns)


def _digest(*parts: bytes) -> bytes:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
