"""Links of responses, what every response has, and forms of a request that guides show: over a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

if TYPE_CHECKING:
    from tests.service.serving import FixedEngine, Served

TOKEN = f"own_{3:040x}"
KNOWN = {"imageInfo": {"imageInsightsToken": TOKEN}}


def members(value: Any, name: str) -> Iterator[Any]:
    """Yield every member of this name, however deep it is."""
    if isinstance(value, dict):
        yield from [value[name]] if name in value else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        yield from members(each, name)


def responses(served: Served) -> Iterator[Any]:
    """Yield a response of every endpoint."""
    yield served.send("GET", "/v7.0/images/search?q=mug").json
    yield served.send("GET", "/v7.0/images/trending").json
    yield served.send("GET", f"/v7.0/images/details?q=mug&insightsToken={TOKEN}").json
    yield served.visual_search(KNOWN).json


def test_web_search_urls_lead_to_the_explorer(served: Served) -> None:
    """Each names a search or a picture, as the explorer reads its own address."""
    urls = [url for response in responses(served) for url in members(response, "webSearchUrl")]
    pages = [parse_qs(urlsplit(url).fragment) for url in urls if url.startswith("http://127.0.0.1:9/#")]
    assert len(pages) == len(urls) > 60
    assert {name for page in pages for name in page} == {"q", "picture"}


def test_every_list_and_query_has_its_links(served: Served) -> None:
    """Image Search reference: Images, Image, Query; Visual Search response guide: actions and tags."""
    search, trending, details, knowledge = responses(served)
    assert search["webSearchUrl"] == "http://127.0.0.1:9/#q=mug"
    assert all("webSearchUrl" in image for image in search["value"])
    queries = [tile["query"] for tile in trending["categories"][0]["tiles"]]
    queries += [details["bestRepresentativeQuery"], *details["relatedSearches"]["value"]]
    actions = {action["actionType"]: action for action in knowledge["tags"][0]["actions"]}
    for name in ("RelatedSearches", "DocumentLevelSuggestions"):
        queries += actions[name]["data"]["value"]
    for query in queries:
        assert {"text", "displayText", "searchLink", "webSearchUrl", "thumbnail"} == query.keys(), query
        assert query["thumbnail"]["url"].startswith("http://127.0.0.1:9/thumbnails/own_")
    assert {"displayName", "serviceUrl", "webSearchUrl"} < actions["BestRepresentativeQuery"].keys()
    assert knowledge["tags"][1]["image"]["thumbnailUrl"].startswith("http://127.0.0.1:9/thumbnails/own_")


def test_a_caption_names_the_tags_that_are_in_it(served: Served) -> None:
    """The text of each can be turned into a link (Image Search reference, ImageCaption)."""
    _, _, details, _ = responses(served)
    assert [query["text"] for query in details["imageCaption"]["relatedSearches"]] == ["mug"]


@pytest.mark.parametrize("prefix", ["/v7.0", "/bing/v7.0", "/api/v7"])
def test_every_prefix_of_the_documents_is_served(served: Served, prefix: str) -> None:
    """Visual Search guide, query guide, and the links of the response guide."""
    assert served.send("GET", f"{prefix}/images/search?q=mug").json["_type"] == "Images"


def test_an_image_of_json_ld_has_its_type(served: Served) -> None:
    """Accept: application/ld+json gives a context, and every object that the reference names its type."""
    reply = served.send("GET", "/v7.0/images/search?q=mug", Accept="application/ld+json")
    assert reply.headers["content-type"].startswith("application/ld+json")
    assert (reply.json["@context"], reply.json["@type"]) == ({"@vocab": "https://schema.org/"}, "Images")
    assert {image["@type"] for image in reply.json["value"]} == {"ImageObject"}
    details = served.send("GET", f"/v7.0/images/details?q=mug&insightsToken={TOKEN}", Accept="application/ld+json").json
    assert {offer["@type"] for offer in details["shoppingSources"]["offers"]} == {"Offer"}
    assert details["shoppingSources"]["offers"][0]["seller"]["@type"] == "Organization"
    assert details["shoppingSources"]["offers"][0]["aggregateRating"]["@type"] == "AggregateRating"
    assert "@type" not in details["visuallySimilarImages"]
    assert "@context" not in served.send("GET", "/v7.0/images/search?q=mug").json


@pytest.mark.parametrize(
    ("method", "target", "headers", "status"),
    [
        ("GET", "/v7.0/images/nothing", {}, 404),
        ("DELETE", "/v7.0/images/search", {}, 405),
        ("GET", "/v7.0/images/search", {}, 400),
        ("GET", "/v7.0/images/search?q=mug", {"Host": "shop.example"}, 421),
        ("GET", "/v7.0/images/search?q=mug", {"Origin": "https://shop.example"}, 403),
        ("GET", "/thumbnails/unknown", {}, 404),
        ("GET", "/v7.0/images/search?q=mug&page=2", {}, 200),
    ],
)
def test_every_response_has_a_trace_id(
    served: Served, method: str, target: str, headers: dict[str, str], status: int
) -> None:
    """Image Search reference: when an error occurs, capture this id. An unknown parameter is no error."""
    reply = served.send_exactly(method, target, b"", headers)
    assert (reply.status, len(reply.headers["bingapis-traceid"])) == (status, 32)


def test_the_template_of_the_guide_is_a_request(served: Served, engine: FixedEngine, picture: bytes) -> None:
    """Empty texts and zeros are fields that were not filled in."""
    area = {"top": 0.0, "left": 0.0, "right": 0.0, "bottom": 0.0}
    image = {"url": "", "imageInsightsToken": "", "cropArea": area}
    knowledge = {"filters": {"site": ""}, "invokedSkillsRequestData": {"enableEntityData": "true"}}
    template = {
        "imageInfo": image,
        "knowledgeRequest": {**knowledge, "invokedSkills": [""], "offset": 0, "count": 0},
    }
    assert served.visual_search(template, picture).status == 200
    assert engine.requests == [(None, None)]


def test_related_searches_say_that_they_need_the_query(served: Served) -> None:
    """Image Search reference: to include related searches, the request must include the original query string."""
    reply = served.send("GET", f"/v7.0/images/details?modules=RelatedSearches&insightsToken={TOKEN}").json
    assert "relatedSearches" not in reply
    reason = "the request has no query (q), which related searches need"
    assert reply["unavailable"] == [{"kind": "related_searches", "reason": reason}]


def test_safe_search_says_where_it_can_do_nothing(served: Served) -> None:
    """Without a mark in any row, nothing is left out, and the response says so."""
    strict = served.send("GET", "/v7.0/images/search?q=mug&safeSearch=Strict").json
    assert [missing["kind"] for missing in strict["unavailable"] if missing["kind"] == "safe_search"] == ["safe_search"]
    assert "isFamilyFriendly" not in strict["value"][0]


def test_marked_rows_are_left_out(engine: FixedEngine, start: Callable[..., Served]) -> None:
    """Moderate is the default (Image Search reference, safeSearch)."""
    engine.rows = [replace(row, adult=row.number % 2 == 1) for row in engine.rows]
    served = start(engine)

    def ids(query: str) -> list[set[int]]:
        actions = served.visual_search(KNOWN, query=query).json["tags"][0]["actions"]
        similar = next(action for action in actions if action["actionType"] == "VisualSearch")["data"]["value"]
        found = served.send("GET", f"/v7.0/images/search{query or '?'}&q=mug&count=150").json["value"]
        return [{int(image["imageId"][4:]) % 2 for image in images} for images in (similar, found)]

    assert ids("") == ids("?safeSearch=Moderate") == ids("?safeSearch=strict") == [{0}, {0}]
    assert ids("?safeSearch=Off") == [{0, 1}, {0, 1}]
    found = served.send("GET", "/v7.0/images/search?q=mug&safeSearch=Off").json
    assert {image["isFamilyFriendly"] for image in found["value"]} == {True, False}
    assert "unavailable" not in served.send("GET", "/v7.0/images/search?q=mug&safeSearch=Strict").json


def test_a_search_leads_on_to_others(engine: FixedEngine, start: Callable[..., Served]) -> None:
    """Narrower searches, similar terms and pivots come from the catalogue, and from the searches made here."""
    tags = (("mug", "red"), ("mug", "blue"), ("mug", "blue"), ("poster", "blue"))
    engine.rows = [
        replace(row, tags=own, title=" ".join(own), category=None, description=None, seller=None)
        for row, own in zip(engine.rows, tags, strict=False)
    ]
    served = start(engine, base_url="http://127.0.0.1:9")

    def texts(queries: list[dict[str, Any]]) -> list[tuple[str, str]]:
        return [(query["text"], query["displayText"]) for query in queries]

    mugs = served.send("GET", "/v7.0/images/search?q=mug").json
    assert texts(mugs["queryExpansions"]) == [("mug blue", "blue"), ("mug red", "red")]
    assert all({"searchLink", "webSearchUrl", "thumbnail"} <= query.keys() for query in mugs["queryExpansions"])
    assert "pivotSuggestions" not in mugs
    assert "similarTerms" not in mugs
    both = served.send("GET", "/v7.0/images/search?q=blue+mug").json
    assert texts(both["similarTerms"]) == [("mug", "mug")]
    assert {pivot["pivot"]: texts(pivot["suggestions"]) for pivot in both["pivotSuggestions"]} == {
        "blue": [("red mug", "red")],
        "mug": [("blue poster", "poster")],
    }
    for query in ("q=mug+-red", "q=mug&offset=1", "q=nothing"):
        assert "queryExpansions" not in served.send("GET", f"/v7.0/images/search?{query}").json
