"""Finds the pictures of the index that are the same as a query, and those that look alike, in two stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.service.engine.color import Floats
from pipeline.service.engine.index import Index
from pipeline.service.engine.match import Overlay, Probe, compare, is_like, is_same
from pipeline.service.engine.views import View

# How many are verified: the nearest by hash and by descriptor, and all that come very near, up to a bound.
CANDIDATES, MOST_CANDIDATES = 8, 64
COPIES_FROM = 0.97
# Hashes of unrelated pictures differ in 128 of 256 bits, give or take 8.
RELATED_BITS = 84
# No copy of the benchmark, however it was changed, had a lower cosine.
HOPELESS = 0.55
# Views whose cosines are this near are both looked at: many things are nearly symmetric.
UNDECIDED = 0.05
# Cosine of descriptors from which on pictures look alike; of pairs of unlike photographs, 2 % reach it.
ALIKE_FROM = 0.74
MOST_ALIKE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """A picture of the index, and the view of the query that it is near to; `overlay` where it was verified."""

    slot: int
    score: float
    view: View
    overlay: Overlay | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Pictures that are the `same`, and pictures that look `alike`; both ranked, the best first, no slot twice.

    `kin` are those that are alike by an embedding model; None where none was asked.
    """

    same: tuple[Near, ...] = ()
    alike: tuple[Near, ...] = ()
    kin: tuple[Near, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """A query's `embedding`, and the least cosine of pictures that are alike."""

    embedding: Floats
    alike_from: float


def search(index: Index, views: Sequence[View], own: int | None, meaning: Meaning | None = None) -> Neighbours:
    """Search for a query by its views; `own` is its slot where the index has its very bytes."""
    if not len(index.hashes):
        return Neighbours()
    cosines = index.similarity([view.features for view in views])
    meanings = None if meaning is None else index.meaning(meaning.embedding)
    verified = {near.slot: near for near in _verify(index, views, cosines, meanings)}
    same = {slot: near for slot, near in verified.items() if near.overlay and is_same(near.overlay)}
    like = {slot: near for slot, near in verified.items() if near.overlay and is_like(near.overlay)}
    if own is not None:
        same[own] = Near(slot=own, score=1.0, view=views[0])
    ranked = sorted(same.values(), key=lambda near: (near.slot != own, -near.score, near.slot))
    alike = tuple(_rank(views, cosines, like, same))
    if meaning is None or meanings is None:
        return Neighbours(same=tuple(ranked), alike=alike)
    kin = tuple(_rank_kin(views[0], meanings, meaning.alike_from, like, same))
    return Neighbours(same=tuple(ranked), alike=alike, kin=kin)


def _verify(index: Index, views: Sequence[View], cosines: Floats, meanings: Floats | None) -> Iterator[Near]:
    """Lay the candidates over the query, in the views that come near."""
    probes = [Probe(view.features.thumb) for view in views]
    best = cosines.max(axis=0)
    hashed = index.nearest([view.features for view in views], CANDIDATES, RELATED_BITS)
    akin = () if meanings is None else _nearest(meanings, CANDIDATES)
    for slot in np.unique(np.concatenate([hashed, _promising(best), akin])).astype(np.intp):
        if best[slot] >= HOPELESS:
            candidate = Probe(index.thumb(slot))
            close = [n for n in range(len(views)) if best[slot] - cosines[n, slot] <= UNDECIDED]
            found = [(overlay, n) for n in close if (overlay := compare(probes[n], candidate)) is not None]
            if found:
                overlay, n = min(found, key=lambda pair: pair[0].residual)
                score = max(float(best[slot]), overlay.ncc * (1 - overlay.residual / 100))
                yield Near(slot=int(slot), score=min(score, 1.0), view=views[n], overlay=overlay)


def _promising(cosines: Floats) -> npt.NDArray[np.intp]:
    near = int(np.count_nonzero(cosines >= COPIES_FROM))
    return _nearest(cosines, max(CANDIDATES, min(near, MOST_CANDIDATES)))


def _nearest(cosines: Floats, count: int) -> npt.NDArray[np.intp]:
    return np.argpartition(-cosines, min(count, len(cosines)) - 1)[:count]


def _rank(views: Sequence[View], cosines: Floats, like: dict[int, Near], same: dict[int, Near]) -> list[Near]:
    """Rank look-alikes: those that were verified by their overlay, the others by their descriptor."""
    best = cosines.max(axis=0)
    others = (
        Near(slot=int(slot), score=min(float(best[slot]), 1.0), view=views[int(cosines[:, slot].argmax())])
        for slot in _reach(best, ALIKE_FROM, MOST_ALIKE + len(same))
        if slot not in like
    )
    return _in_order([*like.values(), *others], same)


def _rank_kin(view: View, meanings: Floats, least: float, like: dict[int, Near], same: dict[int, Near]) -> list[Near]:
    """Rank by embeddings alone; what was verified as very like is among them, however low its cosine."""
    slots = {int(slot) for slot in _reach(meanings, least, MOST_ALIKE + len(same))} | like.keys()
    near = [
        Near(slot=slot, score=_fraction(meanings[slot]), view=like[slot].view if slot in like else view)
        for slot in slots
    ]
    return _in_order(near, same)


def _reach(cosines: Floats, least: float, most: int) -> npt.NDArray[np.intp]:
    """Return the slots from the cosine `least` on, at most the nearest `most`, in no order."""
    reach = np.flatnonzero(cosines >= least)
    return reach if len(reach) <= most else reach[np.argpartition(-cosines[reach], most)[:most]]


def _fraction(cosine: float) -> float:
    return min(max(float(cosine), 0.0), 1.0)


def _in_order(found: list[Near], same: dict[int, Near]) -> list[Near]:
    ranked = sorted(found, key=lambda near: (-near.score, near.slot))
    return [near for near in ranked if near.slot not in same][:MOST_ALIKE]
