"""What an index was made from, and what it says, as digests."""

from __future__ import annotations

import os
from hashlib import sha256

import orjson

from pipeline.service.engine.analysis import ALGORITHM
from pipeline.service.engine.catalogue import Entry
from pipeline.service.engine.embedding import Embedder
from pipeline.service.engine.picture_files import root_of
from pipeline.service.engine.row_worker import FileStamp
from pipeline.service.findings import CatalogueConfig


class BuildDigests:
    """The digests of one build, to which its rows are added.

    The fingerprint covers the lines of the catalogue, its root, and size and time of its files. The version covers
    what is served.
    """

    def __init__(self, config: CatalogueConfig, embedder: Embedder | None) -> None:
        self._model = embedder.key if embedder else ""
        self._root = os.fsencode(root_of(config))
        self._version = sha256((ALGORITHM + self._model).encode())
        self._fingerprint = sha256((ALGORITHM + self._model).encode() + self._root + b"\n")

    @property
    def fingerprint(self) -> str:
        """The digest of all that the index is made from."""
        return self._fingerprint.hexdigest()

    def add_row(self, entry: Entry, stamp: FileStamp | None) -> None:
        """Add a line of the catalogue, whether it is a row or not."""
        self._fingerprint.update(orjson.dumps((entry.line, entry.fields, entry.problem, stamp)) + b"\n")

    def add_item(self, fields: bytes, picture: str | None) -> None:
        """Add a row that is served, with the SHA-256 of its picture."""
        self._version.update(fields + (picture or "").encode() + b"\n")

    def meta(self) -> dict[str, str]:
        """Return what the index says about itself."""
        return {
            "algorithm": ALGORITHM,
            "version": self._version.hexdigest()[:32],
            "fingerprint": self.fingerprint,
            "model": self._model,
            "root": self._root.decode(errors="backslashreplace"),  # without UTF-8 in it, no picture is indexed
        }
