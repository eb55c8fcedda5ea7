"""Reads look-alikes, products and exact matches: pictures on pages, some with an offer (docs/record.md).

Sources: serpapi.com/google-lens-visual-matches-api, /google-lens-products-api, /google-lens-exact-matches-api.
"""

from __future__ import annotations

from typing import Any, cast

from pipeline.providers.collector import Collector, Json, fields, take
from pipeline.providers.lens.numbers import take_number, take_size
from pipeline.schema import AggregateOffer, ImageRef, Offer


def read_look_alikes(value: list[Any], collector: Collector) -> None:
    """Read pictures that look alike; those that are for sale have their offer."""
    where = "visual_matches"
    items = collector.objects(where, value)
    collector.insights["similar_images"]["items"] += [_match(item, "similar") for item in items]
    collector.keep_columns(where, items)


def read_products(value: list[Any], collector: Collector) -> None:
    """Read products that look like what the picture shows; those with a price are offers as well."""
    where = "visual_matches"  # products have this name, too
    items = collector.objects(where, value)
    products = [_match(item, "similar") for item in items]
    collector.insights["similar_products"]["items"] += products
    collector.insights["offers"] += [_offer_of(product) for product in products if "price" in product.get("offer", {})]
    collector.keep_columns(where, items)


def read_exact_matches(value: list[Any], collector: Collector) -> None:
    """Read pages that show the very picture."""
    where = "exact_matches"
    items = collector.objects(where, value)
    collector.insights["pages"] += [_match(item, "full") for item in items]
    collector.keep_columns(where, items)


def _match(item: Json, match: str) -> ImageRef:
    """Take a picture on a page; its position is that in the list."""
    item.pop("position", None)
    thumbnail = fields(
        url=take(item, "thumbnail", str),
        width=take_size(item, "thumbnail_width"),
        height=take_size(item, "thumbnail_height"),
    )
    known = fields(
        name=take(item, "title", str),
        host_page_url=take(item, "link", str),
        host_page_favicon_url=take(item, "source_icon", str),
        content_url=take(item, "image", str),
        thumbnail=thumbnail or None,
        width=take_size(item, "image_width", "actual_image_width"),
        height=take_size(item, "image_height", "actual_image_height"),
        offer=_take_offer(item),
    )
    return cast("ImageRef", {**known, "match": match, "origin": "web"})


def _take_offer(item: Json) -> AggregateOffer | None:
    """Take price, stock and rating with the seller, who is the source; None where there is none of them."""
    rating = fields(value=take_number(item, "rating"), count=take(item, "reviews", int))
    known = fields(**_take_price(item), availability=_take_availability(item), rating=rating or None)
    if not known:
        return None
    source = take(item, "source", str)
    seller = {"seller": {"name": source}} if source is not None else {}
    return cast("AggregateOffer", {**known, **seller, "offers": [], "origin": "web"})


def _take_price(item: Json) -> Json:
    """Take an amount with its currency, which is a sign: a dollar may be that of many countries."""
    price = item.get("price")
    if type(price) is not dict:
        amount = take_number(item, "extracted_price")
        return {} if amount is None else fields(price=amount, currency=take(item, "currency", str))
    rest = dict(price)
    amount = take_number(rest, "extracted_value")
    if amount is None:
        return {}
    known = fields(price=amount, currency=take(rest, "currency", str))
    item["price"] = rest
    if not rest:
        del item["price"]
    return known


def _take_availability(item: Json) -> str | None:
    is_in_stock = take(item, "in_stock", bool)
    return None if is_in_stock is None else "InStock" if is_in_stock else "OutOfStock"


def _offer_of(product: ImageRef) -> Offer:
    """Return the offer of a product by itself: with the product's name, and the page where it is sold."""
    offer = {name: value for name, value in product["offer"].items() if name != "offers"}
    return cast("Offer", {**fields(name=product.get("name"), url=product.get("host_page_url")), **offer})
