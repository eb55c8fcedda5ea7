"""What arrived at the service: one value for each request, kept for tests or written as JSON lines; never a key."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import parse_qsl, urlencode

import orjson
from PIL import Image

from pipeline.errors import ServiceError

_SECRET_HEADERS = frozenset({"ocp-apim-subscription-key", "authorization", "cookie", "proxy-authorization"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSeen:
    """An uploaded picture as its header describes it; without a size where the header is none that can be read."""

    bytes: int
    sha256: str
    format: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request: `at` is the Unix time of its arrival, `query` and `headers` come without keys."""

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
    picture: PictureSeen | None = None
    fault: str | None = None


class Journal:
    """Keeps the last `keep` requests, and appends each to `path` as it is answered."""

    def __init__(self, path: Path | None = None, *, keep: int = 0) -> None:
        self.seen: deque[Seen] = deque(maxlen=keep)
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                self._file = self._path.open("ab", buffering=0)
            except OSError as exc:
                raise ServiceError(f"{self._path}: the journal can't be written ({exc.strerror})") from exc
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def note(self, seen: Seen) -> None:
        """Write down one request."""
        self.seen.append(seen)
        if self._file is not None:
            self._file.write(orjson.dumps(seen) + b"\n")


def measure(data: bytes) -> PictureSeen:
    """Describe a picture from its header alone; nothing is decoded, so a bomb costs nothing."""
    size, name = _header(data)
    return PictureSeen(
        bytes=len(data),
        sha256=sha256(data).hexdigest(),
        format=name,
        width=size[0] if size else None,
        height=size[1] if size else None,
    )


def public_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers without those that carry a secret."""
    return {str(name): value for name, value in headers.items() if name.lower() not in _SECRET_HEADERS}


def public_query(query: str) -> str:
    """Return a query string without parameters that are named like a key."""
    pairs = parse_qsl(query, keep_blank_values=True)
    return urlencode([(name, value) for name, value in pairs if "key" not in name.lower()])


def _header(data: bytes) -> tuple[tuple[int, int] | None, str | None]:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size, (image.format or "").lower() or None
    except Exception:  # Pillow's parsers raise anything on hostile bytes
        return None, None
