"""Converts a row's text columns into an Item; text that can't be brought into the form of its field is left out."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from pipeline.service.engine import typed_values
from pipeline.service.engine.catalogue import Fields
from pipeline.service.engine.typed_values import read_number
from pipeline.service.findings import Item, ItemRating, RecipeFacts

_TEXTS = ("title", "description", "page_url", "content_url", "seller", "seller_image_url", "category", "creator")
_TYPED: dict[str, Callable[[str], str | None]] = {
    "currency": typed_values.currency,
    "availability": typed_values.availability,
    "updated": typed_values.day,
    "published": typed_values.moment,
    "cook_time": typed_values.duration,
    "prep_time": typed_values.duration,
    "total_time": typed_values.duration,
    "license": typed_values.license_type,
}
_RECIPE = ("creator", "cook_time", "prep_time", "total_time")


def item_from_fields(number: int, fields: Fields) -> Item:
    """Convert a row's columns; the index adds the facts of the picture."""
    texts = {name: fields[name] for name in _TEXTS if name in fields}
    texts |= {name: value for name, read in _TYPED.items() if name in fields and (value := read(fields[name]))}
    recipe = {name: texts.pop(name) for name in _RECIPE if name in texts}
    return Item(
        number=number,
        id=fields["id"],
        image=fields["image"],
        site=host_of(fields.get("page_url")),
        price=read_number(fields.get("price")),
        rating=_rating(fields),
        adult=typed_values.truth(fields.get("adult", "")),
        tags=split_tags(fields.get("tags", "")),
        recipe=RecipeFacts(**recipe) if any(name in fields for name in _RECIPE[1:]) else None,
        **texts,  # type: ignore[arg-type]  # all of these are str fields of Item
    )


def left_out(fields: Fields) -> tuple[str, ...]:
    """Return the columns of a row whose text is not of the form of their field."""
    unread = [name for name, read in _TYPED.items() if name in fields and read(fields[name]) is None]
    unread += [name for name in ("price", "reviews") if name in fields and read_number(fields[name]) is None]
    unread += ["adult"] if "adult" in fields and typed_values.truth(fields["adult"]) is None else []
    return tuple(unread + (["rating"] if "rating" in fields and _rating(fields) is None else []))


def host_of(url: str | None) -> str | None:
    """Return the lower-case host of a URL; None if it has none, or is no URL of the web."""
    try:
        parts = urlsplit(url or "")
        host = parts.hostname
    except ValueError:
        return None
    return host if parts.scheme in {"", "http", "https"} else None


def split_tags(text: str) -> tuple[str, ...]:
    """Split at semicolon, bar or comma; return each tag once, in order."""
    return tuple(dict.fromkeys(tag for part in re.split(r"[;|,]", text) if (tag := part.strip())))


def _rating(fields: Fields) -> ItemRating | None:
    value = typed_values.rating(fields.get("rating", ""), fields.get("rating_best"))
    if value is None:
        return None
    count = read_number(fields.get("reviews"))
    return ItemRating(value=value, count=None if count is None else int(count))
