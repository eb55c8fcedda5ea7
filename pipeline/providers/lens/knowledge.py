"""Reads what the picture is about: knowledge, related searches, and the text in it (docs/record.md)."""

from __future__ import annotations

from typing import Any, cast

from pipeline.providers.collector import Collector, fields, take
from pipeline.schema import Entity, Query


def read_knowledge(value: Any, collector: Collector) -> None:
    """Read what is known of what is shown, one thing or several."""
    where = "knowledge_graph"
    items = collector.objects(where, value if type(value) is list else [value])
    for item in items:
        thumbnail = take(item, "thumbnail", str)
        known = fields(
            name=take(item, "title", str),
            description=take(item, "description", str) or take(item, "subtitle", str),
            url=take(item, "link", str),
            image=None if thumbnail is None else {"thumbnail": {"url": thumbnail}},
        )
        collector.insights["entities"].append(
            cast("Entity", {**known, "types": [], "attributions": [], "origin": "web"})
        )
    collector.keep_columns(where, items)


def read_related(where: str, value: list[Any], collector: Collector) -> None:
    """Read searches that others made from here."""
    items = collector.objects(where, value)
    for item in items:
        known = fields(
            text=take(item, "query", str),
            web_search_url=take(item, "link", str),
            thumbnail_url=take(item, "thumbnail", str),
        )
        collector.insights["related_searches"].append(cast("Query", {**known, "origin": "web"}))
    collector.keep_columns(where, items)


def read_text(value: list[Any], collector: Collector) -> None:
    """Read the text in the picture; there are no boxes."""
    where = "text_results"
    items = collector.objects(where, value)
    lines = [line for item in items if (line := take(item, "text", str))]
    if lines:
        collector.insights["text"] = {
            "full": "\n".join(lines), "regions": [], "sources": ["OCR"], "origin": "pixels",
        }  # fmt: skip
    collector.keep_columns(where, items)
