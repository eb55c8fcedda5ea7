"""Searches the index for pictures that are the same as a query, and for similar ones: candidates, then verification."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.service.engine.color import Floats
from pipeline.service.engine.descriptors import mirror
from pipeline.service.engine.index import CatalogueIndex
from pipeline.service.engine.overlay import OverlayThumb, PictureOverlay, best_overlay, is_same, is_similar
from pipeline.service.engine.views import QueryView

# The candidates to verify: the nearest by hash, all with a cosine from COPY_COSINE on, and the next after them, up to a
# bound. Copies that hardly differ must not crowd out those that were framed or cropped.
CANDIDATES, MAX_CANDIDATES = 8, 64
COPY_COSINE = 0.97
# Hashes of unrelated pictures differ in 128 of 256 bits, give or take 8.
MAX_HASH_DISTANCE = 84
# No copy in the benchmark, however it was changed, had a lower cosine.
MIN_CANDIDATE_COSINE = 0.55
# Views with cosines this close are all verified: many objects are nearly symmetric.
VIEW_MARGIN = 0.05
# Similar pictures have at least this cosine of descriptors; of pairs of unrelated photographs, 2 % reach it.
MIN_SIMILAR_COSINE = 0.74
MAX_SIMILAR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A picture of the index, and the view of the query that it matches; `overlay` if it was verified."""

    slot: int
    score: float
    view: QueryView
    overlay: PictureOverlay | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The `same` and the `similar` pictures, ranked, the best first; no slot is in both.

    `embedding_matches` are the similar ones by an embedding model; None without a model.
    """

    same: tuple[Neighbour, ...] = ()
    similar: tuple[Neighbour, ...] = ()
    embedding_matches: tuple[Neighbour, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingQuery:
    """A query's `embedding`, and the least cosine of similar pictures."""

    embedding: Floats
    min_cosine: float


def find_neighbours(
    index: CatalogueIndex, views: Sequence[QueryView], own: int | None, embedding: EmbeddingQuery | None = None
) -> Neighbours:
    """Find the neighbours of a query by its views; `own` is its slot if the index has the same file."""
    if not len(index.hashes):
        return Neighbours()
    cosines = index.similarity([view.features for view in views])
    embedding_cosines = None if embedding is None else index.embedding_similarity(embedding.embedding)
    verified = {near.slot: near for near in _verify(index, views, cosines, embedding_cosines)}
    same = {slot: near for slot, near in verified.items() if near.overlay and is_same(near.overlay)}
    very_similar = {slot: near for slot, near in verified.items() if near.overlay and is_similar(near.overlay)}
    if own is not None:
        same[own] = Neighbour(slot=own, score=1.0, view=views[0])
    ranked = tuple(sorted(same.values(), key=lambda near: (near.slot != own, -near.score, near.slot)))
    similar = tuple(_rank_similar(views, cosines, very_similar, same))
    if embedding is None or embedding_cosines is None:
        return Neighbours(same=ranked, similar=similar)
    matches = tuple(_rank_embeddings(views[0], embedding_cosines, embedding.min_cosine, very_similar, same))
    return Neighbours(same=ranked, similar=similar, embedding_matches=matches)


def same_as(index: CatalogueIndex, slot: int) -> tuple[int, ...]:
    """Return the slots with the same picture as `slot`, upright or mirrored, by what the index holds of it.

    The slot itself is among them.
    """
    upright = index.features(slot)
    views = [QueryView(features=upright, mirrored=False), QueryView(features=mirror(upright), mirrored=True)]
    verified = _verify(index, views, index.similarity([view.features for view in views]), None)
    same = {near.slot for near in verified if near.overlay and is_same(near.overlay)}
    return tuple(sorted(same | {slot}))


def _verify(
    index: CatalogueIndex, views: Sequence[QueryView], cosines: Floats, embedding_cosines: Floats | None
) -> Iterator[Neighbour]:
    """Overlay the candidates on the query, in the views that match best."""
    thumbs = [OverlayThumb(view.features.thumb) for view in views]
    best = cosines.max(axis=0)
    hashed = index.nearest([view.features for view in views], CANDIDATES, MAX_HASH_DISTANCE)
    embedded = () if embedding_cosines is None else _nearest(embedding_cosines, CANDIDATES)
    for slot in np.unique(np.concatenate([hashed, _nearest_descriptors(best), embedded])).astype(np.intp):
        if best[slot] >= MIN_CANDIDATE_COSINE:
            candidate = OverlayThumb(index.thumb(slot))
            close = [n for n in range(len(views)) if best[slot] - cosines[n, slot] <= VIEW_MARGIN]
            overlays = [(overlay, n) for n in close if (overlay := best_overlay(thumbs[n], candidate)) is not None]
            if overlays:
                overlay, n = min(overlays, key=lambda pair: pair[0].residual)
                score = max(float(best[slot]), overlay.ncc * (1 - overlay.residual / 100))
                yield Neighbour(slot=int(slot), score=min(score, 1.0), view=views[n], overlay=overlay)


def _nearest_descriptors(cosines: Floats) -> npt.NDArray[np.intp]:
    copies = int(np.count_nonzero(cosines >= COPY_COSINE))
    return _nearest(cosines, min(copies + CANDIDATES, MAX_CANDIDATES))


def _nearest(cosines: Floats, count: int) -> npt.NDArray[np.intp]:
    return np.argpartition(-cosines, min(count, len(cosines)) - 1)[:count]


def _rank_similar(
    views: Sequence[QueryView], cosines: Floats, very_similar: dict[int, Neighbour], same: dict[int, Neighbour]
) -> list[Neighbour]:
    """Rank similar pictures: those that were verified, and the others by their descriptors."""
    best = cosines.max(axis=0)
    others = (
        Neighbour(slot=int(slot), score=min(float(best[slot]), 1.0), view=views[int(cosines[:, slot].argmax())])
        for slot in _at_least(best, MIN_SIMILAR_COSINE, MAX_SIMILAR + len(same))
        if slot not in very_similar
    )
    return _rank([*very_similar.values(), *others], same)


def _rank_embeddings(
    view: QueryView, cosines: Floats, min_cosine: float, very_similar: dict[int, Neighbour], same: dict[int, Neighbour]
) -> list[Neighbour]:
    """Rank by embeddings only; pictures that were verified as similar are included, however low their cosine."""
    slots = {int(slot) for slot in _at_least(cosines, min_cosine, MAX_SIMILAR + len(same))} | very_similar.keys()
    views = {slot: near.view for slot, near in very_similar.items()}
    matches = [Neighbour(slot=slot, score=_fraction(cosines[slot]), view=views.get(slot, view)) for slot in slots]
    return _rank(matches, same)


def _at_least(cosines: Floats, min_cosine: float, count: int) -> npt.NDArray[np.intp]:
    """Return the slots with at least this cosine, but no more than the nearest `count`, in no order."""
    slots = np.flatnonzero(cosines >= min_cosine)
    return slots if len(slots) <= count else slots[np.argpartition(-cosines[slots], count)[:count]]


def _fraction(cosine: float) -> float:
    return min(max(float(cosine), 0.0), 1.0)


def _rank(neighbours: list[Neighbour], same: dict[int, Neighbour]) -> list[Neighbour]:
    ranked = sorted(neighbours, key=lambda near: (-near.score, near.slot))
    return [near for near in ranked if near.slot not in same][:MAX_SIMILAR]
