"""Writes the arrays of an index picture by picture, so that memory does not grow with their number."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.guards.private_files import open_private
from pipeline.service.engine.analysis import write_facts
from pipeline.service.engine.descriptors import DIMENSIONS, HASH_WORDS, THUMB_PX
from pipeline.service.engine.index import DESCRIPTORS, EMBEDDINGS, HASHES, THUMBS
from pipeline.service.engine.staging import Staging

RELEASE_EVERY = 500


def write_arrays(
    db: sqlite3.Connection, folder: Path, staging: Staging, dimensions: int, report: Callable[[], None]
) -> None:
    """Give every distinct picture a slot, in the order of its first row, and write its features there.

    `dimensions` is the length of the embeddings, 0 without a model; `report` is called after each picture.
    """
    order = "SELECT sha256 FROM items WHERE sha256 IS NOT NULL GROUP BY sha256 ORDER BY min(number)"
    digests = [digest for (digest,) in db.execute(order)]
    count = len(digests)
    with ExitStack() as files:
        hashes = files.enter_context(_open_array(folder / HASHES, np.uint64, (count, HASH_WORDS)))
        descriptors = files.enter_context(_open_array(folder / DESCRIPTORS, np.float32, (count, DIMENSIONS)))
        thumbs = files.enter_context(_open_array(folder / THUMBS, np.uint8, (count, THUMB_PX, THUMB_PX, 3)))
        embeddings = files.enter_context(_open_array(folder / EMBEDDINGS, np.float32, (count, dimensions)))
        for slot, digest in enumerate(digests):
            analysis = staging.analysis(digest)
            hashes.append(analysis.features.phash)
            descriptors.append(analysis.features.descriptor)
            thumbs.append(analysis.features.thumb)
            if dimensions:
                embeddings.append(staging.embedding(digest))
            db.execute("INSERT INTO pictures VALUES (?, ?, ?)", (slot, digest, write_facts(analysis.facts)))
            if slot % RELEASE_EVERY == 0:
                staging.release()
            report()


class _ArrayWriter:
    """Writes an npy file row by row."""

    def __init__(self, stream: Any, dtype: npt.DTypeLike) -> None:
        self._stream, self._dtype = stream, np.dtype(dtype)

    def append(self, row: npt.NDArray[Any]) -> None:
        """Append one row."""
        self._stream.write(np.ascontiguousarray(row, dtype=self._dtype).data)


@contextmanager
def _open_array(path: Path, dtype: npt.DTypeLike, shape: Sequence[int]) -> Iterator[_ArrayWriter]:
    """Open an npy file for writing; a memory map would count as our memory until it is written back."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": tuple(shape)}
    with open_private(path, "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        yield _ArrayWriter(stream, dtype)
