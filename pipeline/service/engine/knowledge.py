"""What like pictures tell of a picture: tags, a query, a caption, offers; and what can't be known, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from pipeline.service.findings import Caption, Crop, Item, Match, OfferGroup, TagGuess

# So many of the nearest look-alikes are heard. Measured on pictures the catalogue does not have: three that agree on a
# tag, or four on the query, at these scores are next to never wrong.
NEIGHBOURS, AGREEING, UNANIMOUS = 5, 3, 4
CLOSE, CLOSE_FOR_QUERY = 0.82, 0.80
MOST_SUGGESTIONS = 8

UNAVAILABLE: tuple[tuple[str, str], ...] = (
    ("entities", "the service has no knowledge base of people, places and things"),
    ("text", "the service reads no text"),
    ("uris", "links are found in text, and the service reads no text"),
    ("related_searches", "they are searches made by others, and the service keeps none"),
    ("collections", "the service knows no collections made by others"),
    ("trivia", "the service has no knowledge base"),
)


def guess_tags(same: Sequence[Match], alike: Sequence[Match], box: Crop) -> tuple[TagGuess, ...]:
    """Take the tags of the same picture's rows, else those that most of the nearest look-alikes share.

    Confidence is the agreeing share, weakened by the distance of those who agree.
    """
    if same:
        return _agreed(same, least=1, box=box)
    heard = nearest_voices(alike, CLOSE)
    return _agreed(heard, least=AGREEING, box=box) if len(heard) >= AGREEING else ()


def guess_query(same: Sequence[Match], alike: Sequence[Match]) -> str | None:
    """Name the subject: the title of the same picture, else what nearly all close neighbours are, else nothing."""
    titles = [match.item.title for match in same if match.item.title]
    if titles:
        return titles[0]
    heard = nearest_voices(alike, CLOSE_FOR_QUERY)
    agreed = _agreed(heard, least=UNANIMOUS, box=(0, 0, 1, 1))
    categories = {match.item.category for match in heard}
    named = [tag.name for tag in agreed if tag.name in categories]
    return named[0] if named else None


def nearest_voices(alike: Sequence[Match], least: float) -> list[Match]:
    """Return the nearest look-alikes of at least this score, one for each distinct picture."""
    voices: dict[str | None, Match] = {}
    for match in alike:
        if match.score < least or len(voices) == NEIGHBOURS:
            break
        voices.setdefault(match.item.sha256, match)
    return list(voices.values())


def find_caption(same: Iterable[Match]) -> Caption | None:
    """Quote the words that a page has for this very picture."""
    for match in same:
        if words := match.item.description or match.item.title:
            return Caption(text=words, source_url=match.item.page_url)
    return None


def group_offers(items: Iterable[Item]) -> tuple[OfferGroup, ...]:
    """Group the priced rows by currency, the largest group first; each group from its lowest price on."""
    priced = sorted((item for item in items if item.price is not None), key=_by_currency)
    groups = [(currency, tuple(rows)) for currency, rows in groupby(priced, key=lambda item: item.currency)]
    groups.sort(key=lambda group: -len(group[1]))
    return tuple(OfferGroup(currency=name, low_price=rows[0].price or 0.0, items=rows) for name, rows in groups)


def suggest(best_query: str | None, tags: Sequence[TagGuess], alike: Sequence[Match]) -> tuple[str, ...]:
    """Suggest what else to look for: agreed tags, then titles of near look-alikes that share one of them."""
    names = [tag.name for tag in tags]
    known = set(names)
    titles = [m.item.title for m in alike[: 2 * NEIGHBOURS] if m.item.title and known.intersection(labels(m.item))]
    words = dict.fromkeys([*names, *titles])
    words.pop(best_query or "", None)
    return tuple(words)[:MOST_SUGGESTIONS]


def labels(item: Item) -> tuple[str, ...]:
    """Return a row's category and tags, each once."""
    return tuple(dict.fromkeys([*filter(None, [item.category]), *item.tags]))


def name_unavailable(same: Sequence[Match]) -> tuple[tuple[str, str], ...]:
    """Name what can't be known of this picture, beyond what no picture is known for."""
    reasons = list(UNAVAILABLE)
    if not any(match.item.recipe for match in same):
        reasons.append(("recipes", "no row of the catalogue that shows this picture has recipe columns"))
    return tuple(reasons)


def _agreed(heard: Sequence[Match], *, least: int, box: Crop) -> tuple[TagGuess, ...]:
    backing: dict[str, list[float]] = {}
    for match in heard:
        for name in labels(match.item):
            backing.setdefault(name, []).append(match.score)
    guesses = [
        TagGuess(name=name, confidence=round(sum(scores) / len(heard), 3), box=box, supporters=len(scores))
        for name, scores in backing.items()
        if len(scores) >= least
    ]
    return tuple(sorted(guesses, key=lambda guess: -guess.confidence))


def _by_currency(item: Item) -> tuple[str, float, int]:
    return item.currency or "", item.price or 0.0, item.number
