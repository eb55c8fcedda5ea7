"""The stored answers: every answer that was paid for, with its request, under the request's fingerprint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import orjson
import zstandard

from pipeline.guards.signed_urls import without_signatures
from pipeline.records import Answer, Crop, Request
from pipeline.state.database import StateDatabase, translated

_LEVEL = 3  # makes an answer a quarter of its size
_ANSWER = "asked_at, status, headers, body"
_PUT = (
    f"INSERT OR REPLACE INTO answers (fingerprint, {_ANSWER}, request, request_body) "  # noqa: S608 - fixed names
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A stored answer and the request that it answers.

    The request has no body where it held a picture. Layouts 1 and 2 of state.db did not keep it: it is None then.
    """

    request: Request | None
    answer: Answer


class AnswerStore:
    """Answers by fingerprint. `put` belongs to the sink's thread, everyone else may read, in one thread at a time.

    Raises OutputError where the database can't be used.
    """

    def __init__(self, database: StateDatabase) -> None:
        self._database = database
        self._pack = zstandard.ZstdCompressor(level=_LEVEL).compress
        self._unpack = zstandard.ZstdDecompressor().decompress

    def put(self, exchanges: Iterable[tuple[bytes, Request, Answer]]) -> None:
        """Commit answers and requests under their fingerprints, in place of older ones of the same fingerprint."""
        rows = [self._columns(fingerprint, as_stored(r), answer) for fingerprint, r, answer in exchanges]
        with self._database.transaction() as writer:
            writer.executemany(_PUT, rows)

    def get(self, fingerprint: bytes, *, not_before: float = 0.0) -> Answer | None:
        """Return the answer of a fingerprint, unless it was asked before `not_before` (Unix time)."""
        sql = f"SELECT {_ANSWER} FROM answers WHERE fingerprint = ? AND asked_at >= ?"  # noqa: S608 - fixed names
        row = self._first(sql, fingerprint, not_before)
        return self._answer(*row) if row else None

    def exchange(self, fingerprint: bytes) -> Exchange | None:
        """Return the answer of a fingerprint with its request."""
        sql = f"SELECT request, request_body, {_ANSWER} FROM answers WHERE fingerprint = ?"  # noqa: S608 - fixed names
        row = self._first(sql, fingerprint)
        return Exchange(request=self._request(*row[:2]), answer=self._answer(*row[2:])) if row else None

    def has_any(self) -> bool:
        """Return True if at least one answer is stored."""
        return bool(self._first("SELECT EXISTS (SELECT 1 FROM answers)")[0])

    def count(self) -> int:
        """Return how many answers are stored."""
        return int(self._first("SELECT count(*) FROM answers")[0])

    def _first(self, sql: str, *values: object) -> Any:
        with translated(self._database.path):
            return self._database.answer_reader.execute(sql, values).fetchone()

    def _columns(self, fingerprint: bytes, request: Request, answer: Answer) -> tuple[object, ...]:
        headers = orjson.dumps(dict(answer.headers))
        request_body = self._pack(request.body) if request.body else None
        packed = self._pack(answer.body)
        return fingerprint, answer.asked_at, answer.status, headers, packed, _request_head(request), request_body

    def _answer(self, asked_at: float, status: int, headers: bytes, body: bytes) -> Answer:
        return Answer(
            status=status,
            headers=orjson.loads(headers),
            body=self._unpack(body),
            asked_at=asked_at,
            from_store=True,
        )

    def _request(self, head: bytes | None, body: bytes | None) -> Request | None:
        if head is None:
            return None
        read = orjson.loads(head)
        return Request(
            method=read["method"],
            target=read["target"],
            form=read["form"],
            headers=tuple((name, value) for name, value in read["headers"]),
            body=self._unpack(body) if body else b"",
            crop=Crop(**read["crop"]) if read["crop"] else None,
            picture_size=(size[0], size[1]) if (size := read.get("picture_size")) else None,
        )


def as_stored(request: Request) -> Request:
    """Return a request as it is stored: without its picture, which is large, and without the signature of its URL.

    The fingerprint that it is stored under covers the whole request.
    """
    match request.form:
        case "bytes":
            return replace(request, body=b"")
        case "url":
            body = without_signatures(request.body.decode("latin-1")).encode("latin-1")
            return replace(request, target=without_signatures(request.target), body=body)
        case _:
            return request


def _request_head(request: Request) -> bytes:
    """Return all of a request but its body as JSON."""
    names = ("method", "target", "form", "headers", "crop", "picture_size")
    return orjson.dumps({name: getattr(request, name) for name in names})
