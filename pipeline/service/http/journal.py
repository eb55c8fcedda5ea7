"""The journal of the requests received: kept in memory for tests, or written as JSON lines; never with a key."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import orjson

from pipeline.errors import OutputError, ServiceError
from pipeline.guards.private_files import open_private


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadInfo:
    """An uploaded picture; format and upright size are None if there are no insights about it."""

    bytes: int
    sha256: str
    format: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One request: `at` is the Unix time of its arrival; `query` and `headers` are without keys."""

    at: float
    ms: float
    method: str
    path: str
    status: int
    trace_id: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body_bytes: int = 0
    body_sha256: str | None = None
    picture: UploadInfo | None = None
    fault: str | None = None


class Journal:
    """Keeps the last `keep` entries, and appends each to the file `path` when its request ends."""

    def __init__(self, path: Path | None = None, *, keep: int = 0) -> None:
        self.entries: deque[JournalEntry] = deque(maxlen=keep)
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                self._file = open_private(self._path, "ab")
            except (OSError, OutputError) as exc:
                reason = exc.strerror if isinstance(exc, OSError) else exc
                raise ServiceError(f"{self._path}: the journal can't be written ({reason})") from exc
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def record(self, entry: JournalEntry) -> None:
        """Add one entry."""
        self.entries.append(entry)
        if self._file is not None:
            self._file.write(orjson.dumps(entry) + b"\n")
            self._file.flush()
