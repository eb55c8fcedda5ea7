"""Merge the insights of several calls for one row: further pages, and modules that need a call of their own."""

from __future__ import annotations

from typing import Any, cast

import orjson

from pipeline.records import NextPage, Reading
from pipeline.schema import Insights

_LINKS = ("image_id", "insights_token", "content_url", "host_page_url")


def join(so_far: Reading | None, page: Reading) -> Reading:
    """Add one reading to those of the row's earlier calls.

    `more` of the result is that of the page, without lists to which the page added nothing, and without those that have
    enough items now.
    """
    if so_far is None:
        return page
    merged = merge(so_far.insights, page.insights)
    more = tuple(
        following
        for following in page.more
        if _count(so_far.insights, following) < _count(merged, following) < following.enough
    )
    return Reading(insights=merged, more=more)


def _count(insights: Insights, page: NextPage) -> int:
    return len(insights[page.list]["items"])


def merge(so_far: Insights, page: Insights) -> Insights:
    """Merge two insights: lists are joined without duplicates, and of single values the first one is kept."""
    merged: dict[str, Any] = {**page, **so_far}
    for name, value in page.items():
        earlier = so_far.get(name)
        if isinstance(value, list):
            merged[name] = _union(cast("list[Any]", earlier), value)
        elif isinstance(value, dict) and "items" in value:
            paged = cast("dict[str, Any]", earlier)
            paging = paged if value == {"items": []} else value
            merged[name] = {**paging, "items": _union(paged["items"], value["items"])}
    return cast("Insights", merged)


def _union(first: list[Any], second: list[Any]) -> list[Any]:
    """Return the items of both lists in their order, without the items of `second` that `first` has too."""
    if not first or not second:
        return first + second
    keys = set(map(_item_key, first))
    union = list(first)
    for item in second:
        key = _item_key(item)
        if key not in keys:
            keys.add(key)
            union.append(item)
    return union


def _item_key(item: Any) -> bytes:
    """Return what identifies an item; for an image its first id or link, since other fields differ between pages."""
    if isinstance(item, dict):
        link = next((item[name] for name in _LINKS if name in item), None)
        if link is not None:
            return str(link).encode()
    return orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
