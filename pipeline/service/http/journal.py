"""The journal of the requests received: kept in memory for tests, or written as JSON lines; never with a key."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import orjson
from PIL import Image

from pipeline.errors import OutputError, ServiceError
from pipeline.guards.private_files import open_private


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadInfo:
    """An uploaded picture according to its header; format and size are None if the header can't be read."""

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


def describe_upload(data: bytes) -> UploadInfo:
    """Describe a picture from its header only; nothing is decoded, so a decompression bomb does no harm."""
    size, name = _read_header(data)
    return UploadInfo(
        bytes=len(data),
        sha256=sha256(data).hexdigest(),
        format=name,
        width=size[0] if size else None,
        height=size[1] if size else None,
    )


def _read_header(data: bytes) -> tuple[tuple[int, int] | None, str | None]:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size, (image.format or "").lower() or None
    except Exception:  # Pillow's parsers raise anything on hostile bytes
        return None, None
