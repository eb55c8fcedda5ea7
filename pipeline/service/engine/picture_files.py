"""Reads the pictures of a catalogue: files below its root, through no link, and as they were when they were indexed."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.guards.confined_files import read_beneath
from pipeline.service.engine.pictures import MAX_FILE_BYTES
from pipeline.service.findings import BadPicture, CatalogueConfig


class PictureFiles:
    """The pictures below a root folder, named by their whole real paths."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, file: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
        """Read a file; raises BadPicture if that is not possible, or it is larger than `max_bytes`."""
        top = os.fspath(self.root).rstrip("/") + "/"
        try:
            return read_beneath(self.root, file.removeprefix(top), max_bytes)
        except SourceError as exc:
            raise BadPicture("too-many-pixels" if exc.code == "too-large" else "damaged", str(exc)) from exc

    def read_unchanged(self, file: str, size: int, digest: str) -> bytes:
        """Read a file that had this size and SHA-256; raises BadPicture if it has changed."""
        data = self.read(file, size)
        if sha256(data).hexdigest() != digest:
            raise BadPicture("damaged", "the picture has changed since it was indexed")
        return data


def root_of(config: CatalogueConfig) -> Path:
    """Return the real path of the folder that relative paths of a catalogue start from."""
    folder = config.path if config.path.is_dir() else config.path.parent
    return (config.root or folder).resolve()
