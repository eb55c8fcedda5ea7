"""The stored answers: every answer that was paid for, under the fingerprint of what was asked (zstd, ratio about 4)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import orjson
import zstandard

from pipeline.records import Answer
from pipeline.state.database import connect, transaction, translated


class AnswerStore:
    """Answers by fingerprint. `put` belongs to the sink's thread, `get` to all others: each has its connection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._write = connect(path)
        self._read = connect(path)
        self._pack = zstandard.ZstdCompressor(level=3)
        self._unpack = zstandard.ZstdDecompressor()

    def close(self) -> None:
        """Close both connections."""
        self._read.close()
        self._write.close()

    def put(self, answers: Iterable[tuple[bytes, Answer]]) -> None:
        """Commit answers under their fingerprints; an older answer of the same fingerprint is replaced."""
        packed = [
            (fingerprint, a.asked_at, a.status, orjson.dumps(dict(a.headers)), self._pack.compress(a.body))
            for fingerprint, a in answers
        ]
        with translated(self._path), transaction(self._write):
            self._write.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", packed)

    def get(self, fingerprint: bytes, *, not_before: float = 0.0) -> Answer | None:
        """Return the answer of a fingerprint, unless it was asked before `not_before` (Unix time)."""
        sql = "SELECT asked_at, status, headers, body FROM answers WHERE print = ? AND asked_at >= ?"
        with translated(self._path):
            row = self._read.execute(sql, (fingerprint, not_before)).fetchone()
        if row is None:
            return None
        asked_at, status, headers, body = row
        return Answer(
            status=status,
            headers=orjson.loads(headers),
            body=self._unpack.decompress(body),
            asked_at=asked_at,
            from_store=True,
        )

    def count(self) -> int:
        """Return how many answers are stored."""
        with translated(self._path):
            return int(self._read.execute("SELECT count(*) FROM answers").fetchone()[0])
