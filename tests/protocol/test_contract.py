"""Every endpoint with each of its parameters once, over a real socket: the published contract validates each answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.engine import open_engine
from pipeline.service.findings import CatalogueConfig
from pipeline.service.http.app import AppConfig
from tests.protocol.contract import Contract
from tests.running import write_manifest
from tests.service.serving import Served, draw_mug, serving

COLORS = {"blue": (30, 64, 175), "red": (185, 28, 28), "green": (21, 128, 61)}
COLUMNS = {
    "description": "A mug for tea",
    "seller": "Shop",
    "seller_image_url": "https://shop.example/logo.png",
    "price": "12.50",
    "currency": "€",
    "availability": "in stock",
    "rating": "8",
    "rating_best": "10",
    "reviews": "12",
    "updated": "2026-11-01",
    "category": "Kitchen",
    "published": "2026-10-01",
    "creator": "Ann",
    "cook_time": "45 min",
    "prep_time": "PT5M",
    "total_time": "50 min",
    "license": "CC BY 4.0",
    "adult": "no",
}
COMMON = {"mkt": "de-DE", "setLang": "de", "safeSearch": "Strict"}
SEARCH = {
    "count": "2",
    "offset": "1",
    "id": "red",
    "aspect": "Square",
    "color": "ColorOnly",
    "freshness": "2020-01-01..2030-01-01",
    "height": "200",
    "width": "200",
    "minHeight": "1",
    "maxHeight": "900",
    "minWidth": "1",
    "maxWidth": "900",
    "minFileSize": "1",
    "maxFileSize": "900000",
    "imageType": "Photo",
    "license": "Share",
    "size": "Medium",
}
MODULES = (
    "All", "BRQ", "Caption", "Collections", "Recipes", "PagesIncluding", "RecognizedEntities", "RelatedSearches",
    "ShoppingSources", "SimilarImages", "SimilarProducts", "Tags",
)  # fmt: skip
HEADERS = {
    "Accept": "application/ld+json",
    "Pragma": "no-cache",
    "User-Agent": "Mozilla/5.0",
    "X-MSEdge-ClientID": "0123456789ABCDEF0123456789ABCDEF",
    "X-MSEdge-ClientIP": "192.0.2.7",
    "X-Search-Location": "lat:47.6;long:-122.3;re:100",
}
KNOWLEDGE: dict[str, dict[str, Any]] = {
    "filters": {"filters": {"site": "shop.example"}},
    "enableEntityData": {"invokedSkillsRequestData": {"enableEntityData": "true"}},
    "invokedSkills": {"invokedSkills": ["SimilarProducts"], "offset": 1, "count": 1},
}
CROP = {"cal": "0.1", "cat": "0.1", "car": "0.9", "cab": "0.9", "ct": "0"}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Served]:
    """Serve a small shop whose rows have every column."""
    rows = []
    for name, color in COLORS.items():
        (tmp_path / f"{name}.png").write_bytes(draw_mug(color))
        rows.append(
            {
                **COLUMNS,
                "id": name,
                "image": f"{name}.png",
                "title": f"{name} mug",
                "page_url": f"https://shop.example/{name}",
                "content_url": f"https://img.example/{name}.png",
                "tags": f"mug;{name}",
            }
        )
    catalogue = CatalogueConfig(path=write_manifest(tmp_path / "rows.csv", rows))
    with Decoders(1) as decoders:
        engine = open_engine(catalogue, tmp_path / "index", decoders)
        with serving(engine, AppConfig(base_url="http://127.0.0.1:9")) as served:
            yield served


def requests(token: str) -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
    """Yield endpoint, parameters and headers of requests without a body, each with one parameter more than it needs."""
    details = {"insightsToken": token, "q": "mug"}
    needed = {"search": {"q": "mug"}, "trending": {}, "details": details}
    for endpoint, parameters in needed.items():
        yield endpoint, parameters, {}
        yield from ((endpoint, {**parameters, name: value}, {}) for name, value in COMMON.items())
        yield from ((endpoint, parameters, {name: value}) for name, value in HEADERS.items())
        yield endpoint, {**parameters, "cc": "CH"}, {"Accept-Language": "de-CH, fr;q=0.5"}
    yield from (("search", {"q": "mug", name: value}, {}) for name, value in SEARCH.items())
    yield from (("search", {"q": term}, {}) for term in ("mug -red", "site:shop.example", "nothing at all"))
    yield "details", {"imgUrl": "https://img.example/red.png"}, {}
    yield "details", {**details, **CROP}, {}
    yield from (("details", {**details, "modules": module}, {}) for module in MODULES)


def test_every_answer_to_every_parameter_is_valid(shop: Served, project: Path) -> None:
    """Each request is answered, and says what it was asked for."""
    contract = Contract(project)
    token = shop.send("GET", "/v7.0/images/search?q=red").json["value"][0]["imageInsightsToken"]
    types = {"search": "Images", "trending": "TrendingImages", "details": "ImageInsights"}
    for endpoint, parameters, headers in requests(token):
        reply = shop.send_exactly("GET", f"/v7.0/images/{endpoint}?{urlencode(parameters)}", b"", headers)
        assert (reply.status, reply.json["_type"]) == (200, types[endpoint]), (endpoint, parameters, headers)
        contract.validate(reply.json)


def test_every_answer_to_every_member_of_a_form_is_valid(shop: Served, project: Path) -> None:
    """Pictures by URL, token and upload, whole and in part, with each member of knowledgeRequest."""
    contract = Contract(project)
    token = shop.send("GET", "/v7.0/images/search?q=red").json["value"][0]["imageInsightsToken"]
    area = {"top": 0.1, "left": 0.1, "right": 0.9, "bottom": 0.9}
    infos: list[dict[str, Any]] = [{"imageInsightsToken": token}, {"url": "https://img.example/red.png"}, {}]
    for info in infos:
        picture = None if info else draw_mug(COLORS["red"])
        for crop in ({}, {"cropArea": area}):
            for knowledge in ({}, *KNOWLEDGE.values()):
                request = {"imageInfo": {**info, **crop}, "knowledgeRequest": knowledge}
                reply = shop.visual_search(request, picture)
                assert (reply.status, reply.json["_type"]) == (200, "ImageKnowledge"), request
                contract.validate(reply.json)


@pytest.mark.parametrize(
    ("target", "parameter"),
    [
        ("search", "q"),
        ("search?q=mug&imageContent=Face", "imageContent"),
        ("search?q=mug&imageType=Clipart", "imageType"),
        ("search?q=mug&imageType=Shopping&mkt=de-DE", "imageType"),
        ("search?q=mug&modules=Tags", "modules"),
        ("search?q=inbody:mug", "q"),
        ("trending?count=2", "count"),
        ("details", "insightsToken"),
        ("details?insightsToken=unknown", "imageInsightsToken"),
    ],
)
def test_every_refusal_is_valid(shop: Served, project: Path, target: str, parameter: str) -> None:
    """An error is an ErrorResponse that names the parameter."""
    reply = shop.send("GET", f"/v7.0/images/{target}")
    assert (reply.status, reply.error["parameter"]) == (400, parameter)
    Contract(project).validate(reply.json)
