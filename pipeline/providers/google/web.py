"""Reads where on the web the picture is: pages, copies, crops, look-alikes, and what they are about (docs/record.md).

Source: Vision discovery document, WebDetection. Its scores are not normalised (1470.4 was seen), so none becomes a
confidence.
"""

from __future__ import annotations

import html
import re
from typing import Any, Final, cast

from pipeline.providers.collector import Json, as_list, as_object, fields, take
from pipeline.providers.google.collector import GoogleCollector
from pipeline.schema import Entity, ImageRef

_MARKUP: Final = re.compile(r"</?[A-Za-z][^<>]*>")


def read_web(value: Json, collector: GoogleCollector) -> None:
    """Read the whole of a web detection."""
    rest, insights = dict(value), collector.insights
    _read_labels(take(rest, "bestGuessLabels", list) or [], collector)
    _read_entities(take(rest, "webEntities", list) or [], collector)
    _read_pages(take(rest, "pagesWithMatchingImages", list) or [], collector)
    insights["sizes"] += _take_images(rest, "fullMatchingImages", "full", collector)
    similar = insights["similar_images"]["items"]
    similar += _take_images(rest, "partialMatchingImages", "partial", collector)
    similar += _take_images(rest, "visuallySimilarImages", "similar", collector)
    collector.keep("webDetection", rest)


def _read_labels(value: list[Any], collector: GoogleCollector) -> None:
    """Read the best guess; the language of it, and further guesses, are kept beside it."""
    labels = collector.objects("webDetection.bestGuessLabels", value)
    if labels and (text := take(labels[0], "label", str)) is not None:
        collector.insights["best_query"] = {"text": text, "origin": "web"}
    collector.keep_columns("webDetection.bestGuessLabels", labels)


def _read_entities(value: list[Any], collector: GoogleCollector) -> None:
    items = collector.objects("webDetection.webEntities", value)
    for item in items:
        known = fields(name=take(item, "description", str), id=take(item, "entityId", str))
        collector.insights["entities"].append(
            cast("Entity", {**known, "types": [], "attributions": [], "origin": "web"})
        )
    collector.keep_columns("webDetection.webEntities", items)


def _read_pages(value: list[Any], collector: GoogleCollector) -> None:
    """Read pages; those without a matching image come last: they are about what is shown, and not about the picture."""
    where = "webDetection.pagesWithMatchingImages"
    items = collector.objects(where, value)
    pages = [_page(item) for item in items]
    order = sorted(range(len(pages)), key=lambda number: "match" not in pages[number])
    collector.insights["pages"] += [pages[number] for number in order]
    collector.keep_columns(where, [items[number] for number in order])


def _page(item: Json) -> ImageRef:
    """Return a page with the first of its images that match, best as a whole; the others stay in the item."""
    page = fields(host_page_url=take(item, "url", str), name=_title(take(item, "pageTitle", str)))
    for name, match in (("fullMatchingImages", "full"), ("partialMatchingImages", "partial")):
        images = as_list(item.get(name))
        first = as_object(images[0]) if images else {}
        if type(first.get("url")) is not str:
            continue
        page |= {"content_url": first["url"], "match": match}
        left = [rest for rest in ({key: first[key] for key in first if key != "url"}, *images[1:]) if rest]
        if left:
            item[name] = left
        else:
            del item[name]
        break
    return cast("ImageRef", {**page, "origin": "web"})


def _title(title: str | None) -> str | None:
    """Return a title as text: without markup and escapes, which real ones have, and without line breaks."""
    return None if title is None else " ".join(html.unescape(_MARKUP.sub("", title)).split())


def _take_images(rest: Json, name: str, match: str, collector: GoogleCollector) -> list[ImageRef]:
    """Take a list of images, of which nothing is known but the URL."""
    where = f"webDetection.{name}"
    items = collector.objects(where, take(rest, name, list) or [])
    images = [
        cast("ImageRef", {**fields(content_url=take(item, "url", str)), "match": match, "origin": "web"})
        for item in items
    ]
    collector.keep_columns(where, items)
    return images
