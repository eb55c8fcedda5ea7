"""The facts of a run that matter most to a reader: what the new records know, and what has changed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.schema import Record
from pipeline.wording import counted

MOST_FACTS = 3
_COPIES, _TEXTS = "copies", "texts"
# What a record may know, by the word that counts such records.
_KNOWS: dict[str, str] = {
    "duplicates": _COPIES,
    "text": _TEXTS,
    "pages": "pictures found on pages",
    "offers": "pictures with offers",
    "caption": "captions",
    "tags": "pictures with tags",
}


def known_facts(record: Record) -> list[str]:
    """Return the words for what a record knows."""
    return [word for field, word in _KNOWS.items() if record.get(field)]


def main_facts(known: Mapping[str, int], changes: Mapping[str, int]) -> str:
    """Return the facts that matter most as one line, such as "12 copies, 9 texts, 3 prices changed".

    `known` counts records by word, `changes` what has changed by field.
    """
    prices = sum(count for field, count in changes.items() if field.endswith("price"))
    rest = sum(changes.values()) - prices - changes.get("added", 0) - changes.get("removed", 0)
    facts = [
        _fact(known.get(_COPIES, 0), lambda count: "1 copy" if count == 1 else f"{count} copies"),
        _fact(known.get(_TEXTS, 0), lambda count: counted(count, "text")),
        _fact(prices, lambda count: f"{counted(count, 'price')} changed"),
        _fact(changes.get("added", 0), lambda count: f"{counted(count, 'row')} added"),
        _fact(changes.get("removed", 0), lambda count: f"{counted(count, 'row')} removed"),
        _fact(rest, lambda count: counted(count, "other change" if prices else "change")),
        *(f"{count} {word}" for word, count in known.items() if word not in {_COPIES, _TEXTS}),
    ]
    return ", ".join([fact for fact in facts if fact][:MOST_FACTS]) or "nothing new, nothing changed"


def _fact(count: int, say: Callable[[int], str]) -> str:
    return say(count) if count else ""
