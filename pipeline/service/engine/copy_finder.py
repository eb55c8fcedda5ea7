"""Finds the rows whose pictures are copies of a query: the same bytes, or what comparing in detail confirms."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from threading import Lock

from pipeline.service.engine.analysis import PictureFacts
from pipeline.service.engine.copies import STORED_PX, DetailedPicture, copy_kind, detailed
from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.index import CatalogueIndex
from pipeline.service.engine.picture_files import PictureFiles
from pipeline.service.engine.similarity_search import Neighbour, Neighbours
from pipeline.service.findings import BadPicture, Duplicate, Item

# The candidates that are compared, the nearest first: each costs a file to decode.
_MOST_COMPARED = 24
_KEPT = 128  # pictures of the last candidates, 200 KB each


class CopyFinder:
    """Finds copies in an index; safe to share between threads."""

    def __init__(self, index: CatalogueIndex, decoders: Decoders, files: PictureFiles) -> None:
        self._index = index
        self._decoders = decoders
        self._files = files
        self._kept: dict[int, DetailedPicture | None] = {}
        self._lock = Lock()

    def find(
        self, picture: bytes, facts: PictureFacts, neighbours: Neighbours, own: int | None
    ) -> tuple[Duplicate, ...]:
        """Return the rows with copies of a whole picture, the same bytes first; `own` is its slot in the index."""
        exact = () if own is None else self._index.items(own)
        verified = (near for near in chain(neighbours.same, neighbours.similar) if near.overlay and near.slot != own)
        others = self._confirmed(picture, facts, list(islice(verified, _MOST_COMPARED)))
        ranked = sorted(others, key=lambda copy: (-copy.score, copy.item.number))
        return (*(Duplicate(item=item, kind="exact", score=1.0) for item in exact), *ranked)

    def _confirmed(self, picture: bytes, facts: PictureFacts, candidates: list[Neighbour]) -> Iterator[Duplicate]:
        """Compare a picture with candidates; it is decoded in detail only if there are any."""
        if not candidates:
            return
        query = detailed(self._decoders.read_stretched(picture, STORED_PX), facts.width, facts.height)
        for near in candidates:
            candidate = self._candidate(near.slot)
            if candidate is None or near.overlay is None:
                continue
            if compared := copy_kind(query, candidate, near.view, near.overlay):
                kind, score = compared
                for item in self._index.items(near.slot):
                    yield Duplicate(item=item, kind=kind, score=score)

    def _candidate(self, slot: int) -> DetailedPicture | None:
        """Return the picture in a slot; None if its files are gone, or have changed since they were indexed."""
        with self._lock:
            if slot in self._kept:
                return self._kept[slot]
        picture = next(filter(None, map(self._read, self._index.items(slot))), None)
        with self._lock:
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[slot] = picture
        return picture

    def _read(self, item: Item) -> DetailedPicture | None:
        file = self._index.file_of(item.token) if item.token else None
        if file is None or not item.width or not item.height:
            return None
        try:
            data = self._files.read_unchanged(file.path, file.size, file.sha256)
            return detailed(self._decoders.read_stretched(data, STORED_PX), item.width, item.height)
        except BadPicture:
            return None
