"""Finds the pictures of the index that are the same as a query, and those that look alike, in two stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.service.color import Floats
from pipeline.service.index import Index
from pipeline.service.match import Overlay, Probe, compare, is_like, is_same
from pipeline.service.views import View

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
    """Pictures that are the `same`, and pictures that look `alike`; both ranked, the best first, no slot twice."""

    same: tuple[Near, ...] = ()
    alike: tuple[Near, ...] = ()


def search(index: Index, views: Sequence[View], own: int | None) -> Neighbours:
    """Search for a query by its views; `own` is its slot where the index has its very bytes."""
    if not len(index.hashes):
        return Neighbours()
    cosines = index.similarity([view.features for view in views])
    verified = {near.slot: near for near in _verify(index, views, cosines)}
    same = {slot: near for slot, near in verified.items() if near.overlay and is_same(near.overlay)}
    like = {slot: near for slot, near in verified.items() if near.overlay and is_like(near.overlay)}
    if own is not None:
        same[own] = Near(slot=own, score=1.0, view=views[0])
    ranked = sorted(same.values(), key=lambda near: (near.slot != own, -near.score, near.slot))
    return Neighbours(same=tuple(ranked), alike=tuple(_rank(views, cosines, like, same)))


def _verify(index: Index, views: Sequence[View], cosines: Floats) -> Iterator[Near]:
    """Lay the candidates over the query, in the views that come near."""
    probes = [Probe(view.features.thumb) for view in views]
    best = cosines.max(axis=0)
    hashed = index.nearest([view.features for view in views], CANDIDATES, RELATED_BITS)
    for slot in np.union1d(hashed, _promising(best)):
        if best[slot] >= HOPELESS:
            candidate = Probe(index.thumbs[slot])
            close = [n for n in range(len(views)) if best[slot] - cosines[n, slot] <= UNDECIDED]
            found = [(overlay, n) for n in close if (overlay := compare(probes[n], candidate)) is not None]
            if found:
                overlay, n = min(found, key=lambda pair: pair[0].residual)
                score = max(float(best[slot]), overlay.ncc * (1 - overlay.residual / 100))
                yield Near(slot=int(slot), score=min(score, 1.0), view=views[n], overlay=overlay)


def _promising(cosines: Floats) -> npt.NDArray[np.intp]:
    near = int(np.count_nonzero(cosines >= COPIES_FROM))
    count = min(max(CANDIDATES, min(near, MOST_CANDIDATES)), len(cosines))
    return np.argpartition(-cosines, count - 1)[:count]


def _rank(views: Sequence[View], cosines: Floats, like: dict[int, Near], same: dict[int, Near]) -> list[Near]:
    """Rank look-alikes: those that were verified by their overlay, the others by their descriptor."""
    best = cosines.max(axis=0)
    reach = np.flatnonzero(best >= ALIKE_FROM)
    if len(reach) > MOST_ALIKE + len(same):
        reach = reach[np.argpartition(-best[reach], MOST_ALIKE + len(same))[: MOST_ALIKE + len(same)]]
    others = (
        Near(slot=int(slot), score=min(float(best[slot]), 1.0), view=views[int(cosines[:, slot].argmax())])
        for slot in reach
        if slot not in like
    )
    ranked = sorted([*like.values(), *others], key=lambda near: (-near.score, near.slot))
    return [near for near in ranked if near.slot not in same][:MOST_ALIKE]
