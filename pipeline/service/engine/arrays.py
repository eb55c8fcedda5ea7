"""Writes the arrays of an index, picture by picture: memory stays flat however many there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.service.engine.analysis import write_facts
from pipeline.service.engine.descriptors import DIMENSIONS, HASH_WORDS, THUMB_PX
from pipeline.service.engine.index import DESCRIPTORS, EMBEDDINGS, HASHES, THUMBS
from pipeline.service.engine.staging import Staging

RELEASE_EVERY = 500


def write_arrays(
    db: sqlite3.Connection, folder: Path, staging: Staging, dimensions: int, moved: Callable[[], None]
) -> None:
    """Give every distinct picture its slot, in the order of its first row, and write its features there.

    `dimensions` are those of the embeddings, 0 where there is no model; `moved` is called after each picture.
    """
    order = "SELECT sha256 FROM items WHERE sha256 IS NOT NULL GROUP BY sha256 ORDER BY min(number)"
    digests = [digest for (digest,) in db.execute(order)]
    count = len(digests)
    with ExitStack() as files:
        hashes = files.enter_context(_rows(folder / HASHES, np.uint64, (count, HASH_WORDS)))
        descriptors = files.enter_context(_rows(folder / DESCRIPTORS, np.float32, (count, DIMENSIONS)))
        thumbs = files.enter_context(_rows(folder / THUMBS, np.uint8, (count, THUMB_PX, THUMB_PX, 3)))
        embeddings = files.enter_context(_rows(folder / EMBEDDINGS, np.float32, (count, dimensions)))
        for slot, digest in enumerate(digests):
            analysis = staging.analysis(digest)
            hashes.add(analysis.features.phash)
            descriptors.add(analysis.features.descriptor)
            thumbs.add(analysis.features.thumb)
            if dimensions:
                embeddings.add(staging.embedding(digest))
            db.execute("INSERT INTO pictures VALUES (?, ?, ?)", (slot, digest, write_facts(analysis.facts)))
            if slot % RELEASE_EVERY == 0:
                staging.release()
            moved()


class _Rows:
    """The rows of an npy file, written one after the other."""

    def __init__(self, stream: Any, dtype: npt.DTypeLike) -> None:
        self._stream, self._dtype = stream, np.dtype(dtype)

    def add(self, row: npt.NDArray[Any]) -> None:
        """Append one row."""
        self._stream.write(np.ascontiguousarray(row, dtype=self._dtype).data)


@contextmanager
def _rows(path: Path, dtype: npt.DTypeLike, shape: Sequence[int]) -> Iterator[_Rows]:
    """Begin an npy file; a memory map would count as memory of ours until all of it is written back."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": tuple(shape)}
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        yield _Rows(stream, dtype)
