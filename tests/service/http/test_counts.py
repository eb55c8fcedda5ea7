"""The counts of a listed image are what its token leads to, over a real socket and a real index."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from PIL import Image, ImageOps

from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.engine import open_engine
from pipeline.service.findings import CatalogueConfig
from tests.service.serving import Served, draw_mug

BLUE, RED, GREEN = (30, 64, 175), (185, 28, 28), (21, 128, 61)
ROWS = [
    {"id": "a", "image": "blue.png", "price": "14.50", "page_url": "https://a.example/1", "cook_time": "45 min"},
    {"id": "b", "image": "blue.png", "price": "12.75", "page_url": "https://b.example/1"},
    {"id": "c", "image": "small.png", "price": "13", "page_url": "https://c.example/1"},
    {"id": "d", "image": "small.png", "price": "", "page_url": ""},
    {"id": "e", "image": "red.png", "price": "9", "page_url": "https://a.example/2"},
    {"id": "f", "image": "green.png", "price": "", "page_url": "https://a.example/3"},
    {"id": "g", "image": "turned.png", "price": "8", "page_url": "https://b.example/2"},
]


def mirrored(picture: bytes) -> bytes:
    target = io.BytesIO()
    ImageOps.mirror(Image.open(io.BytesIO(picture))).save(target, "PNG")
    return target.getvalue()


def resized(picture: bytes) -> bytes:
    target = io.BytesIO()
    Image.open(io.BytesIO(picture)).resize((150, 150), Image.Resampling.LANCZOS).save(target, "PNG")
    return target.getvalue()


@pytest.fixture
def shop(tmp_path: Path, start: Callable[..., Served], decoders: Decoders) -> Served:
    """Return a service over a catalogue with one picture in two sizes, and another one with its mirror image."""
    pictures = {"blue.png": draw_mug(BLUE), "small.png": resized(draw_mug(BLUE)), "red.png": draw_mug(RED)}
    pictures["turned.png"] = mirrored(draw_mug(RED))
    for name, data in {**pictures, "green.png": draw_mug(GREEN, shape="ellipse")}.items():
        (tmp_path / name).write_bytes(data)
    with (tmp_path / "catalogue.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "image", "title", "price", "currency", "page_url", "cook_time"])
        writer.writeheader()
        writer.writerows({"title": "Mug", "currency": "EUR", **row} for row in ROWS)
    return start(open_engine(CatalogueConfig(path=tmp_path / "catalogue.csv"), tmp_path / "index", decoders))


def counted(image: dict[str, Any]) -> dict[str, int]:
    return {name: count for name, count in image["insightsMetadata"].items() if name.endswith("Count")}


def followed(shop: Served, token: str) -> dict[str, int]:
    """Return what a token leads to, by the name of its count."""
    target = f"/v7.0/images/details?modules=All&insightsToken={quote_plus(token)}"
    details = shop.send("GET", target).json
    knowledge = shop.visual_search({"imageInfo": {"imageInsightsToken": token}}).json
    actions = {action["actionType"]: action for action in knowledge["tags"][0]["actions"]}
    return {
        "pagesIncludingCount": len(details.get("pagesIncluding", {}).get("value", [])),
        "availableSizesCount": 1 + len(actions["MoreSizes"].get("data", {}).get("value", [])),
        "shoppingSourcesCount": len(details.get("shoppingSources", {}).get("offers", [])),
        "recipeSourcesCount": len(details.get("recipes", {}).get("value", [])),
    }


def listed(shop: Served) -> Iterator[dict[str, Any]]:
    """Yield the images of every list that there is."""
    yield from shop.send("GET", "/v7.0/images/search?q=mug").json["value"]
    for tile in shop.send("GET", "/v7.0/images/trending").json["categories"][0]["tiles"]:
        yield tile["image"]
    for color in (BLUE, RED):
        for action in shop.visual_search(picture=draw_mug(color)).json["tags"][0]["actions"]:
            yield from [action["image"]] if "image" in action else []
            values = action.get("data", {}).get("value", [])
            yield from [value for value in values if "imageInsightsToken" in value]


def test_following_a_token_gives_what_was_counted(shop: Served) -> None:
    """Pages, sizes, offers and recipes, of every image that any response lists."""
    images = list(listed(shop))
    assert {image["imageId"] for image in images} == {row["id"] for row in ROWS}
    for image in images:
        assert counted(image) == followed(shop, image["imageInsightsToken"]), image["imageId"]


def test_a_product_is_summed_up_over_all_its_offers(shop: Served) -> None:
    """Image Insights guide: how many merchants offer it online, and the lowest price."""
    actions = shop.visual_search(picture=draw_mug(RED)).json["tags"][0]["actions"]
    [products] = [action for action in actions if action["actionType"] == "ProductVisualSearch"]
    summaries = {image["imageId"]: image["insightsMetadata"]["aggregateOffer"] for image in products["data"]["value"]}
    assert summaries.keys() == {"a", "b", "c"}
    for summary in summaries.values():
        assert (summary["offerCount"], summary["lowPrice"], summary["priceCurrency"]) == (3, 12.75, "EUR")
        assert [offer["price"] for offer in summary["offers"]] == [12.75, 13.0, 14.5]


def test_there_are_sources_only_where_there_is_a_count(shop: Served) -> None:
    """Without offers there is neither a summary nor a ShoppingSources action."""
    knowledge = shop.visual_search(picture=draw_mug(GREEN, shape="ellipse")).json
    actions = {action["actionType"]: action for action in knowledge["tags"][0]["actions"]}
    assert "ShoppingSources" not in actions
    metadata = actions["ImageById"]["image"]["insightsMetadata"]
    assert (metadata["shoppingSourcesCount"], "aggregateOffer" in metadata) == (0, False)
