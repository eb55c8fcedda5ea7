"""Join the answers of several calls for one row into one: further pages, and modules that must be asked for alone."""

from __future__ import annotations

from typing import Any, cast

import orjson

from pipeline.records import Reading
from pipeline.schema import Insights

_LINKS = ("image_id", "insights_token", "content_url", "host_page_url")


def join(so_far: Reading | None, page: Reading) -> Reading:
    """Add one reading to what is known of a row; its `more` is None where going on would bring nothing.

    That is where the page named no next one, brought nothing new, or enough similar items are there.
    """
    if so_far is None:
        return page
    merged = merge(so_far.insights, page.insights)
    items = similar_count(merged)
    has_more = items > similar_count(so_far.insights) and (not page.enough or items < page.enough)
    return Reading(insights=merged, more=page.more if has_more else None, enough=page.enough)


def similar_count(insights: Insights) -> int:
    """Return how many similar images and products there are."""
    return len(insights["similar_images"]["items"]) + len(insights["similar_products"]["items"])


def merge(so_far: Insights, page: Insights) -> Insights:
    """Return both in one: lists are joined without what is there already, a single value stays as it came first."""
    merged: dict[str, Any] = {**page, **so_far}
    for name, value in page.items():
        known = so_far.get(name)
        if isinstance(value, list):
            merged[name] = _joined(cast("list[Any]", known), value)
        elif isinstance(value, dict) and "items" in value:
            before = cast("dict[str, Any]", known)
            paging = {} if value == {"items": []} else value
            merged[name] = {**before, **paging, "items": _joined(before["items"], value["items"])}
    return cast("Insights", merged)


def _joined(known: list[Any], new: list[Any]) -> list[Any]:
    if not known or not new:
        return known + new
    seen = set(map(_identity, known))
    found = list(known)
    for item in new:
        identity = _identity(item)
        if identity not in seen:
            seen.add(identity)
            found.append(item)
    return found


def _identity(item: Any) -> bytes:
    """Name an item: an image by its first stable id or link, since its other fields may change from page to page."""
    if isinstance(item, dict):
        link = next((item[name] for name in _LINKS if name in item), None)
        if link is not None:
            return str(link).encode()
    return orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
