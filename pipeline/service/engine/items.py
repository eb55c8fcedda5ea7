"""Converts a row's text columns into an Item; text that is no valid number, rating or recipe is left out."""

from __future__ import annotations

import math
import re
from urllib.parse import urlsplit

from pipeline.service.engine.catalogue import Fields
from pipeline.service.findings import Item, ItemRating, RecipeFacts

_TEXTS = (
    "title", "description", "page_url", "content_url", "seller", "seller_image_url", "availability", "updated",
    "category", "published",
)  # fmt: skip
_RECIPE = ("creator", "cook_time", "prep_time", "total_time")


def item_from_fields(number: int, fields: Fields) -> Item:
    """Convert a row's columns; the index adds the facts of the picture."""
    texts = {name: fields[name] for name in _TEXTS if name in fields}
    return Item(
        number=number,
        id=fields["id"],
        image=fields["image"],
        site=host_of(fields.get("page_url")),
        price=read_number(fields.get("price")),
        currency=fields["currency"].upper() if "currency" in fields else None,
        rating=_rating(fields),
        tags=split_tags(fields.get("tags", "")),
        recipe=_recipe(fields),
        **texts,  # type: ignore[arg-type]  # all of _TEXTS are str fields of Item
    )


def host_of(url: str | None) -> str | None:
    """Return the lower-case host of a URL; None if it has none, or is no URL of the web."""
    try:
        parts = urlsplit(url or "")
        host = parts.hostname
    except ValueError:
        return None
    return host if parts.scheme in {"", "http", "https"} else None


def read_number(text: str | None) -> float | None:
    """Read a decimal of at least 0 ("12.50"); None for anything else."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def split_tags(text: str) -> tuple[str, ...]:
    """Split at semicolon, bar or comma; return each tag once, in order."""
    return tuple(dict.fromkeys(tag for part in re.split(r"[;|,]", text) if (tag := part.strip())))


def _rating(fields: Fields) -> ItemRating | None:
    value = read_number(fields.get("rating"))
    if value is None:
        return None
    count = read_number(fields.get("reviews"))
    return ItemRating(
        value=value,
        best=read_number(fields.get("rating_best")) or 5.0,
        count=None if count is None else int(count),
    )


def _recipe(fields: Fields) -> RecipeFacts | None:
    facts = {name: fields[name] for name in _RECIPE if name in fields}
    return RecipeFacts(**facts) if facts.keys() - {"creator"} else None
