"""Insights derived from the matches of a picture: tags, a query, a caption, offers, and what is unavailable and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from pipeline.service.findings import Crop, InferredTag, Item, Match, OfferGroup, SourcedCaption

# The nearest similar pictures that count, and how many of them must agree on a tag, or on the query. Measured on
# pictures that the catalogue does not have: with these numbers and scores the agreement is almost never wrong.
NEIGHBOURS, AGREEING, AGREEING_FOR_QUERY = 5, 3, 4
MIN_SCORE, MIN_SCORE_FOR_QUERY = 0.82, 0.80
MAX_SUGGESTIONS = 8

UNAVAILABLE: tuple[tuple[str, str], ...] = (
    ("entities", "the service has no knowledge base of people, places and things"),
    ("text", "the service reads no text"),
    ("uris", "links are found in text, and the service reads no text"),
    ("related_searches", "they are searches made by others, and the service keeps none"),
    ("collections", "the service knows no collections made by others"),
    ("trivia", "the service has no knowledge base"),
)


def infer_tags(same: Sequence[Match], similar: Sequence[Match], box: Crop) -> tuple[InferredTag, ...]:
    """Return the tags of the rows with the same picture, or else those that most of the nearest neighbours share.

    The confidence is the mean score of the matches with the tag, where matches without it count as 0.
    """
    if same:
        return _shared_tags(same, min_supporters=1, box=box)
    neighbours = nearest_pictures(similar, MIN_SCORE)
    return _shared_tags(neighbours, min_supporters=AGREEING, box=box) if len(neighbours) >= AGREEING else ()


def infer_query(same: Sequence[Match], similar: Sequence[Match]) -> str | None:
    """Return the title of the same picture, or else the category that nearly all close neighbours share, if any."""
    titles = [match.item.title for match in same if match.item.title]
    if titles:
        return titles[0]
    neighbours = nearest_pictures(similar, MIN_SCORE_FOR_QUERY)
    tags = _shared_tags(neighbours, min_supporters=AGREEING_FOR_QUERY, box=(0, 0, 1, 1))
    categories = {match.item.category for match in neighbours}
    return next((tag.name for tag in tags if tag.name in categories), None)


def nearest_pictures(similar: Sequence[Match], min_score: float) -> list[Match]:
    """Return the nearest matches of at least this score, one for each distinct picture."""
    nearest: dict[str | None, Match] = {}
    for match in similar:
        if match.score < min_score or len(nearest) == NEIGHBOURS:
            break
        nearest.setdefault(match.item.sha256, match)
    return list(nearest.values())


def find_caption(same: Iterable[Match]) -> SourcedCaption | None:
    """Return the first description or title that a row has for the same picture."""
    for match in same:
        if text := match.item.description or match.item.title:
            return SourcedCaption(text=text, source_url=match.item.page_url)
    return None


def group_offers(items: Iterable[Item]) -> tuple[OfferGroup, ...]:
    """Group the rows with a price by currency, the largest group first, each sorted by price."""
    priced = sorted((item for item in items if item.price is not None), key=_by_currency)
    groups = [(currency, tuple(rows)) for currency, rows in groupby(priced, key=lambda item: item.currency)]
    groups.sort(key=lambda group: -len(group[1]))
    return tuple(OfferGroup(currency=name, low_price=rows[0].price or 0.0, items=rows) for name, rows in groups)


def suggest_searches(best_query: str | None, tags: Sequence[InferredTag], similar: Sequence[Match]) -> tuple[str, ...]:
    """Suggest further searches: the tags, then the titles of near neighbours that have one of them."""
    names = [tag.name for tag in tags]
    near = [match.item for match in similar[: 2 * NEIGHBOURS]]
    titles = [item.title for item in near if item.title and set(names).intersection(labels(item))]
    searches = dict.fromkeys([*names, *titles])
    searches.pop(best_query or "", None)
    return tuple(searches)[:MAX_SUGGESTIONS]


def labels(item: Item) -> tuple[str, ...]:
    """Return a row's category and tags, each once."""
    return tuple(dict.fromkeys([*filter(None, [item.category]), *item.tags]))


def unavailable_insights(same: Sequence[Match]) -> tuple[tuple[str, str], ...]:
    """Return (kind, reason) for what is unavailable: UNAVAILABLE, and what these rows do not have."""
    if any(match.item.recipe for match in same):
        return UNAVAILABLE
    return (*UNAVAILABLE, ("recipes", "no row of the catalogue that shows this picture has recipe columns"))


def _shared_tags(matches: Sequence[Match], *, min_supporters: int, box: Crop) -> tuple[InferredTag, ...]:
    scores_by_name: dict[str, list[float]] = {}
    for match in matches:
        for name in labels(match.item):
            scores_by_name.setdefault(name, []).append(match.score)
    tags = [
        InferredTag(name=name, confidence=round(sum(scores) / len(matches), 3), box=box, supporters=len(scores))
        for name, scores in scores_by_name.items()
        if len(scores) >= min_supporters
    ]
    return tuple(sorted(tags, key=lambda tag: -tag.confidence))


def _by_currency(item: Item) -> tuple[str, float, int]:
    return item.currency or "", item.price or 0.0, item.number
