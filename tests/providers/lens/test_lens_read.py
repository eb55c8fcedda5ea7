"""How answers read: look-alikes, products, exact matches, knowledge; what is kept, what is left out, and errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from pipeline.records import Problem, Reading
from pipeline.schema import Insights, no_insights
from tests.providers.lens.conftest import answer_of, lens, sent
from tests.providers.lens.fake_serpapi import INVALID_KEY, OUT_OF_SEARCHES, TOO_FAST
from tests.providers.lens.lens_answers import SHOP, empty_answer, metadata, search_answer

URL = "https://pictures.example.com/a.jpg"
TYPES = ["visual_matches", "products", "exact_matches", "all", "about_this_image"]
# What is left out on purpose, by the path of the leaf in an answer.
OMITTED = re.compile(r"search_(metadata|parameters)\.|.*\.position$|.*serpapi_link$|.*page_token$")


def read(kind: str, document: object | None = None) -> Insights:
    """Return the insights of an answer, by default the fake's, which has every part that is documented."""
    document = search_answer(kind, URL) if document is None else document
    outcome = lens().read(sent(kind), answer_of(document))
    assert isinstance(outcome, Reading), outcome
    TypeAdapter(Insights).validate_python(outcome.insights, strict=True)
    return outcome.insights


def problem(document: object, status: int = 200, headers: dict[str, str] | None = None) -> Problem:
    """Return the problem that an answer reports."""
    outcome = lens().read(sent(), answer_of(document, status, headers))
    assert isinstance(outcome, Problem), outcome
    return outcome


def others(insights: Insights) -> dict[str, Any]:
    """Return what has no field, by where it was."""
    return {other["where"]: other["value"] for other in insights["other"]}


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value with its path."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}".removeprefix("."))
    elif isinstance(node, list):
        for value in node:
            yield from leaves(value, f"{path}[]")
    else:
        yield path, node


@pytest.mark.parametrize("kind", TYPES)
def test_nothing_of_an_answer_is_lost(kind: str) -> None:
    """Each leaf is in the record, or on the short list of what is left out on purpose."""
    kept = [value for _, value in leaves(read(kind))]
    lost = [
        path
        for path, value in leaves(search_answer(kind, URL))
        if not OMITTED.fullmatch(path) and not path.startswith("search_")
        if value not in kept and not path.endswith("in_stock")
    ]
    assert lost == (["text_results[].text"] * 2 if kind == "all" else [])  # they are joined


def test_a_look_alike_has_its_page_its_picture_and_its_offer() -> None:
    """The seller is the source; the currency is the sign that was shown."""
    first, second, third = read("visual_matches")["similar_images"]["items"]
    assert first == {
        "name": "Blue mug, 350 ml",
        "host_page_url": f"{SHOP}/mug",
        "host_page_favicon_url": "https://serpapi.com/searches/0/images/icon.png",
        "content_url": f"{SHOP}/mug.jpg",
        "thumbnail": {"url": "https://encrypted-tbn2.gstatic.com/images?q=tbn:mug", "width": 225, "height": 224},
        "width": 1500,
        "height": 1499,
        "offer": {
            "price": 34.0,
            "currency": "$",
            "availability": "InStock",
            "rating": {"value": 4.7, "count": 207},
            "seller": {"name": "Example Shop"},
            "offers": [],
            "origin": "web",
        },
        "match": "similar",
        "origin": "web",
    }
    assert second["offer"]["availability"] == "OutOfStock"
    assert "offer" not in third


def test_look_alikes_are_no_offers_of_the_thing_itself() -> None:
    """Only products are; a look-alike's price stays with it."""
    assert read("visual_matches")["offers"] == []
    insights = read("products")
    assert insights["offers"] == [
        {
            "name": "Blue mug, set of 4",
            "url": f"{SHOP}/set",
            "price": 361.0,
            "currency": "₹",
            "availability": "InStock",
            "seller": {"name": "Example Shop"},
            "origin": "web",
        }
    ]
    assert [item["name"] for item in insights["similar_products"]["items"]] == ["Blue mug, set of 4", "Saucer"]
    assert insights["similar_images"]["items"] == []


def test_exact_matches_are_pages() -> None:
    """With the size of the picture there; a price may be a text with its number beside it."""
    first, second = read("exact_matches")["pages"]
    assert (first["match"], first["width"], first["height"]) == ("full", 220, 262)
    assert (second["offer"]["price"], second["offer"]["currency"]) == (12.0, "€")
    assert others(read("exact_matches"))["exact_matches[].date"] == ["2 years ago", None]


def test_what_comes_beside_look_alikes() -> None:
    """Knowledge, related searches, and the text, which has no boxes; links back to the service are left out."""
    insights = read("all")
    (entity,) = insights["entities"]
    assert (entity["name"], entity["description"], entity["url"]) == (
        "Mug", "Drinking vessel", "https://www.example.org/mug",
    )  # fmt: skip
    assert insights["related_searches"][0]["text"] == "Enamel mug"
    assert dict(insights["text"]) == {"full": "HELLO\nbig mug", "regions": [], "sources": ["OCR"], "origin": "pixels"}
    assert others(insights) == {
        "visual_matches[].price": [{"value": "$34*"}, None, None],
        "visual_matches[].condition": ["Used", None, None],
        "visual_matches[].source": [None, None, "A blog"],
        "knowledge_graph[].more_images": [{"link": "https://www.google.com/search?q=Mug"}],
        "text_results[].link": ["https://www.google.com/search?q=HELLO", None],
    }


def test_no_results_are_no_failure() -> None:
    """The error says that there are none; the search is paid for, and nothing is in the record."""
    answer = answer_of(empty_answer(URL))
    assert read("all", empty_answer(URL)) == no_insights()
    assert lens().usage(sent("all"), answer).units == {"all": 1}


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (401, INVALID_KEY, ("refused", "key-refused")),
        (403, "", ("refused", "key-refused")),
        (200, "Your account has been suspended.", ("refused", "key-refused")),
        (429, OUT_OF_SEARCHES, ("quota", "out-of-searches")),
        (200, OUT_OF_SEARCHES, ("quota", "out-of-searches")),
        (429, TOO_FAST, ("throttled", "hourly-limit")),
        (429, "", ("throttled", "hourly-limit")),
        (400, "Unsupported `xx` country parameter.", ("misconfigured", "parameter-refused")),
        (400, "Missing query `url` parameter.", ("row", "image-refused")),
        (200, "Google Lens couldn't load the image.", ("row", "image-refused")),
        (200, "We couldn't get valid results. Please try again later.", ("transient", "search-failed")),
        (410, "", ("transient", "http-410")),
        (404, "", ("misconfigured", "http-404")),
        (503, "Your account service is down", ("transient", "http-503")),
    ],
)
def test_errors(status: int, error: str, expected: tuple[str, str]) -> None:
    """Their text decides, whatever the status is; without one, the status. None of them is paid for."""
    document = {**(metadata(URL, "Error") if status == 200 else {}), "error": error}
    said = problem(document, status)
    assert (said.kind, said.code) == expected
    assert said.message
    assert lens().usage(sent(), answer_of(document, status)).cost == 0


def test_a_refused_search_waits_until_the_account_is_looked_at_again() -> None:
    """For a minute, unless a header says how long."""
    assert problem({"error": TOO_FAST}, 429).retry_after == 60
    assert problem({"error": TOO_FAST}, 429, {"retry-after": "7"}).retry_after == 7


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"", "empty-body"),
        (b"<html>", "not-json"),
        (b"{}", "unexpected-answer"),
        (b"[]", "unexpected-answer"),
        (metadata(URL, "Processing"), "search-unfinished"),
        (metadata(URL, "Error"), "search-failed"),
    ],
)
def test_what_is_no_answer_is_asked_for_again(document: object, code: str) -> None:
    """An empty body, a page of a gateway, other JSON, a search that has not ended."""
    said = problem(document)
    assert (said.kind, said.code) == ("transient", code)


def test_the_id_of_a_search_is_kept() -> None:
    """Its support asks for it; an error may have none."""
    answer = answer_of(search_answer("all", URL))
    assert lens().trace_id(answer) == search_answer("all", URL)["search_metadata"]["id"]
    assert lens().trace_id(answer_of({"error": "x"}, 401)) is None
