"""Reads and analyses the picture of one row of a catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from pipeline.service.engine.analysis import Analysis
from pipeline.service.engine.catalogue import Entry
from pipeline.service.engine.color import Floats
from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.embedding import Embedder
from pipeline.service.engine.picture_files import PictureFiles
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.engine.staging import Staging
from pipeline.service.findings import BadPicture

FileStamp = tuple[str, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """The result for one row: its picture's `sha256`, its `analysis` and `embedding` if they are new, or a `problem`.

    `stamp` is path, size and time of the picture's file.
    """

    entry: Entry
    stamp: FileStamp | None = None
    sha256: str | None = None
    analysis: Analysis | None = None
    embedding: Floats | None = None
    problem: str | None = None


class RowWorker:
    """Analyses the pictures of rows; safe to share between threads."""

    def __init__(self, files: PictureFiles, staging: Staging, decoders: Decoders, embedder: Embedder | None) -> None:
        self._files, self._staging, self._decoders, self._embedder = files, staging, decoders, embedder

    def process(self, entry: Entry) -> RowResult:
        """Return the result of one row; whatever its picture does, only this row fails."""
        stamp = stamp_of(entry)
        if entry.file is None or entry.problem is not None:
            return RowResult(entry=entry, problem=entry.problem)
        unchanged = self._staging.sha256_of(stamp) if stamp is not None else None
        if unchanged is not None and self._staging.is_embedded(unchanged):
            return RowResult(entry=entry, stamp=stamp, sha256=unchanged)
        try:
            data = self._files.read(str(entry.file))
            digest = sha256(data).hexdigest()
            analysis = None if self._staging.is_analysed(digest) else self._decoders.analyse(data)
            embedding = self._embed(data, digest)
        except BadPicture as exc:
            return RowResult(entry=entry, stamp=stamp, problem=str(exc))
        return RowResult(entry=entry, stamp=stamp, sha256=digest, analysis=analysis, embedding=embedding)

    def _embed(self, data: bytes, digest: str) -> Floats | None:
        if self._embedder is None or self._staging.is_embedded(digest):
            return None
        return self._embedder.embed(self._decoders.read_model_input(data, WHOLE, self._embedder.config))


def stamp_of(entry: Entry) -> FileStamp | None:
    """Return path, size and time of a row's picture; None if there is no such file."""
    try:
        status = entry.file.stat() if entry.file is not None else None
    except OSError:
        return None
    return (str(entry.file), status.st_size, status.st_mtime_ns) if status is not None else None
