"""Several nights as one: what was before the first of them, and what is now."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

from pipeline.changes.change import Change

_ROW = "row"


def net_changes(changes: Iterable[Change]) -> list[Change]:
    """Join the changes of one value over several runs; what is again as it was is no change."""
    joined: defaultdict[tuple[str, str, str], list[Change]] = defaultdict(list)
    for change in changes:
        row_comes_or_goes = change.difference.kind in {"added", "removed"}
        chain = joined[change.id, _ROW if row_comes_or_goes else change.name, change.difference.item]
        if (place := _follows(chain, change)) is None:
            chain.append(change)
        elif row_comes_or_goes:
            chain.pop(place)
        else:
            chain[place] = _join(chain[place], change)
    ended = [change for chain in joined.values() for change in chain]
    return [change for change in ended if change.difference.before != change.difference.after]


def count_changes(changes: Iterable[Change]) -> dict[str, int]:
    """Return how many changes there are of each name, most first."""
    return dict(Counter(change.name for change in changes).most_common())


def _follows(chain: list[Change], change: Change) -> int | None:
    """Return which earlier change a change goes on from, None where it is the first of its value."""
    for place in range(len(chain) - 1, -1, -1):
        if chain[place].run < change.run and chain[place].difference.after == change.difference.before:
            return place
    return None


def _join(first: Change, last: Change) -> Change:
    return replace(last, difference=replace(last.difference, before=first.difference.before))
