"""Compares two records of one row: what somebody would call a change, and nothing that only moved in order or rank.

Left out is what varies without a change of the world: confidences, boxes, ranks, tokens, traces, times. Lists of
similar images are cut off at a rank, so an image that is new or gone there has only moved; but the price of a similar
product that is in both records is compared. One from the user's own catalogue is not: its own row has that change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.changes.change import Difference

Item = Mapping[str, Any]
_TEXTS = {"caption": ("caption", "text"), "best_query": ("best_query", "text"), "text": ("text", "full")}


@dataclass(frozen=True, slots=True, kw_only=True)
class _ListRule:
    """How a list is compared: by what an item is known, which items and values count, whether items come and go."""

    path: tuple[str, ...]
    known_by: Callable[[Item], str]
    counts: Callable[[Item], bool] = lambda _: True
    values: tuple[tuple[str, ...], ...] = ()
    comes_and_goes: bool = True


def _first(*names: str) -> Callable[[Item], str]:
    return lambda item: next((str(item[name]) for name in names if item.get(name)), "")


def _offer(item: Item) -> str:
    """Return an offer's URL, or who offers what, where it has none."""
    return str(item.get("url") or " ".join(filter(None, (at(item, ("seller", "name")), item.get("name")))))


_PRICES = (("price",), ("low_price",))
_LISTS = (
    _ListRule(path=("tags",), known_by=_first("name")),
    _ListRule(path=("entities",), known_by=_first("name", "id")),
    _ListRule(path=("uris",), known_by=_first("uri")),
    _ListRule(path=("codes",), known_by=_first("text")),
    _ListRule(path=("duplicates",), known_by=_first("id", "path")),
    _ListRule(path=("pages",), known_by=_first("host_page_url", "content_url", "name")),
    _ListRule(path=("recipes",), known_by=_first("url", "name")),
    _ListRule(path=("offers",), known_by=_offer, values=(*_PRICES, ("currency",), ("availability",))),
    _ListRule(
        path=("similar_products", "items"),
        known_by=_first("host_page_url", "content_url", "image_id"),
        counts=lambda item: item.get("origin") != "catalogue",
        values=tuple(("offer", *name) for name in _PRICES),
        comes_and_goes=False,
    ),
)


def compare(before: Item, after: Item) -> list[Difference]:
    """Return what changed from one record of a row to the next.

    Where another provider answered, only the picture is compared: what it says is seen for the first time.
    """
    differences = list(_picture(before, after))
    if before.get("provider") != after.get("provider"):
        return differences
    differences += _values("status", before.get("status"), after.get("status"))
    for field, path in _TEXTS.items():
        differences += _values(field, _plain(at(before, path)), _plain(at(after, path)))
    for name in dict.fromkeys([*_object(before, "attributes"), *_object(after, "attributes")]):
        path = ("attributes", name)
        differences += _values(f"attributes.{name}", at(before, path), at(after, path))
    for rule in _LISTS:
        differences += _list(rule, before, after)
    return differences


def picture(record: Item) -> str:
    """Return how a record or a failure names its picture: the path, the URL or the token."""
    source = _object(record, "source")
    return str(next((source[name] for name in ("path", "url", "token") if source.get(name)), record.get("image") or ""))


def at(row: Item, path: Sequence[str]) -> Any:
    """Return what lies at a path of a record, None where nothing does."""
    value: Any = row
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _picture(before: Item, after: Item) -> Iterator[Difference]:
    old, new = at(before, ("source", "sha256")), at(after, ("source", "sha256"))
    if old is None or new is None:
        old, new = picture(before), picture(after)
    if old != new:
        yield Difference(kind="picture", before=old, after=new)


def _values(field: str, before: Any, after: Any, item: str = "", currency: str = "") -> Iterator[Difference]:
    if before != after:
        yield Difference(kind="field", field=field, item=item, before=before, after=after, currency=currency)


def _list(rule: _ListRule, before: Item, after: Item) -> Iterator[Difference]:
    field, old, new = rule.path[0], _known(rule, before), _known(rule, after)
    for key in dict.fromkeys([*old, *new]):
        name = key[0]
        if key in old and key in new:
            yield from _item_values(rule, name, old[key], new[key])
        elif rule.comes_and_goes:
            yield from _values(field, name if key in old else None, name if key in new else None, name)


def _item_values(rule: _ListRule, name: str, old: Item, new: Item) -> Iterator[Difference]:
    for path in rule.values:
        currencies = dict.fromkeys(str(at(item, (*path[:-1], "currency")) or "") for item in (old, new))
        currency = " -> ".join(currencies) if (path[-1],) in _PRICES else ""
        yield from _values(".".join((rule.path[0], *path)), at(old, path), at(new, path), name, currency)


def _known(rule: _ListRule, record: Item) -> dict[tuple[str, int], Item]:
    """Return the items of a list by what they are known by; several of a name are numbered from the cheapest on."""
    items = at(record, rule.path)
    named = [(rule.known_by(item), item) for item in items or () if isinstance(item, Mapping) and rule.counts(item)]
    known: dict[tuple[str, int], Item] = {}
    for name, item in sorted(named, key=lambda pair: (pair[0], _price(pair[1]))):
        number = 0
        while (name, number) in known:
            number += 1
        if name and (number == 0 or rule.values):
            known[name, number] = item
    return known


def _price(item: Item) -> float:
    price = item.get("price")
    return float(price) if isinstance(price, int | float) else 0.0


def _object(row: Item, name: str) -> Item:
    value = row.get(name)
    return value if isinstance(value, Mapping) else {}


def _plain(text: object) -> str | None:
    """Return a text without differences of white space, None where there is none."""
    return " ".join(text.split()) or None if isinstance(text, str) else None
