"""Image Search and Trending Images as sources of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest
from pydantic import ValidationError

from pipeline.errors import RequestError
from pipeline.providers.bing.filters import ImageSearch
from pipeline.providers.bing.provider import Bing
from pipeline.records import Answer, Page, Problem

FILTERS = {
    "id": ("id", "96BB"),
    "aspect": ("aspect", "Wide"),
    "color": ("color", "Monochrome"),
    "freshness": ("freshness", "2017-06-15..2018-06-15"),
    "image_content": ("imageContent", "Portrait"),
    "image_type": ("imageType", "AnimatedGifHttps"),
    "license": ("license", "ShareCommercially"),
    "size": ("size", "Small"),
    "height": ("height", 150),
    "width": ("width", 160),
    "min_height": ("minHeight", 10),
    "max_height": ("maxHeight", 20),
    "min_width": ("minWidth", 30),
    "max_width": ("maxWidth", 40),
    "min_file_size": ("minFileSize", 50),
    "max_file_size": ("maxFileSize", 520192),
}


def parameters_of(request_target: str) -> dict[str, str]:
    return dict(parse_qsl(request_target.partition("?")[2]))


def test_search_request(make: Callable[..., Bing]) -> None:
    """A search is a GET with the query, its page, and the settings' market; the page is no larger than allowed."""
    request = make(market="en-US", safe_search="off").search(ImageSearch(q="red fox & co", count=200), 42, 100)
    assert request.target.startswith("/images/search?q=red+fox+%26+co&")
    assert parameters_of(request.target) == {
        "q": "red fox & co",
        "count": "100",
        "offset": "42",
        "mkt": "en-US",
        "safeSearch": "Off",
    }
    first = make().search(ImageSearch(q="fox", count=200), 0)
    assert parameters_of(first.target)["count"] == "150"
    assert "Ocp-Apim-Subscription-Key" not in dict(first.headers)


def test_every_filter_is_tried() -> None:
    """A filter that is added to the settings must be added here too."""
    assert set(ImageSearch.model_fields) == {*FILTERS, "q", "count", "offset"}


@pytest.mark.parametrize("name", FILTERS)
def test_filters(name: str, make: Callable[..., Bing]) -> None:
    """Each filter is sent under its documented name."""
    parameter, value = FILTERS[name]
    search = ImageSearch.model_validate({"q": "fox", name: value})
    assert parameters_of(make().search(search, 0).target)[parameter] == str(value)


@pytest.mark.parametrize(
    "table",
    [
        {"q": " "},
        {"q": "fox", "aspect": "Round"},
        {"q": "fox", "freshness": "2018-06-15..2017-06-15"},
        {"q": "fox", "freshness": "yesterday..today"},
        {"q": "fox", "freshness": "Decade"},
        {"q": "fox", "height": 5, "min_height": 3},
        {"q": "fox", "width": 5, "max_width": 9},
        {"q": "fox", "min_width": 9, "max_width": 3},
        {"q": "fox", "max_file_size": -1},
        {"q": "fox", "count": 0},
        {"q": "fox", "colour": "Red"},
    ],
    ids=str,
)
def test_refuses_filters(table: dict[str, Any]) -> None:
    """A search that breaks a documented rule is refused before anything is sent."""
    with pytest.raises(ValidationError):
        ImageSearch.model_validate(table)


def test_case_is_ignored() -> None:
    """Values are accepted in any case, and sent in their documented spelling."""
    assert ImageSearch(q="fox", size="large", color="coloronly").query() == (
        ("q", "fox"),
        ("color", "ColorOnly"),
        ("size", "Large"),
    )


def test_a_file_size_beyond_the_largest_is_noted() -> None:
    """It is sent as it is; the service uses 520,192 (Image Search reference), and `check` says so."""
    search = ImageSearch(q="fox", min_file_size=1, max_file_size=600_000)
    assert dict(search.query())["maxFileSize"] == "600000"
    assert search.notes() == ("manifest.search.max_file_size: the service uses 520,192 in place of 600,000",)


def test_shopping_needs_its_market(make: Callable[..., Bing]) -> None:
    """The image type Shopping exists in one market only."""
    search = ImageSearch(q="fox", image_type="Shopping")
    assert make(market="en-US").search(search, 0).target
    with pytest.raises(RequestError, match="en-US"):
        make(market="de-DE").search(search, 0)


def test_search_page(make: Callable[..., Bing], answer: Callable[..., Answer], own: Callable[[str], Any]) -> None:
    """Each image has what a row needs, and the page has the offset of the next one."""
    bing = make()
    page = bing.read_search(bing.search(ImageSearch(q="fox"), 0), answer(own("search")))
    assert isinstance(page, Page)
    first = page.images[0]
    assert (first.id, first.token, first.name) == ("ID1", "ccid_1*mid_1!/+\\._", "Picture 1")
    assert (first.content_url, first.host_page_url) == ("https://shop1.example/1.jpg", "https://shop1.example/page")
    assert (page.next_offset, page.summary["total"], len(page.images)) == (42, 761, 2)
    assert page.summary["pivots"][0]["suggestions"][0]["text"] == "query 2"


def test_trending_images(make: Callable[..., Bing], answer: Callable[..., Answer], own: Callable[[str], Any]) -> None:
    """Trending images come with their category and the query that is trending."""
    bing = make(market="en-US")
    request = bing.trending()
    assert request.target == "/images/trending?mkt=en-US"
    page = bing.read_search(request, answer(own("trending")))
    assert isinstance(page, Page)
    assert page.summary["categories"][0] == {"title": "Popular animals", "queries": [page.images[0].query]}
    assert [(hit.id, hit.category) for hit in page.images] == [
        ("T1", "Popular animals"),
        ("T2", "Popular places"),
    ]
    assert page.images[0].query == {
        "text": "query 1",
        "display_text": "Query 1",
        "web_search_url": "https://search.example/?q=1",
        "search_url": "https://api.example/search?q=1",
        "thumbnail_url": "https://thumbs.example/q1",
        "origin": "web",
    }


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"", "throttled"),
        (200, b"[]", "transient"),
        (
            400,
            {"errors": [{"code": "InvalidRequest", "subCode": "ParameterInvalidValue", "parameter": "mkt"}]},
            "misconfigured",
        ),
        (429, b"", "throttled"),
    ],
    ids=["empty", "no page", "bad market", "too fast"],
)
def test_problems(status: int, body: Any, kind: str, make: Callable[..., Bing], answer: Callable[..., Answer]) -> None:
    """A response that is not a page is a problem."""
    bing = make()
    problem = bing.read_search(bing.trending(), answer(body, status))
    assert isinstance(problem, Problem)
    assert problem.kind == kind
