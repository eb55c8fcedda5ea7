"""Several calls for one row: further pages, and responses that are merged."""

from __future__ import annotations

import email
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.providers.bing.form_data import decode
from pipeline.providers.bing.provider import Bing
from pipeline.providers.merge import join, merge
from pipeline.records import Answer, Crop, Prepared, Reading, Request, Row
from pipeline.schema import no_insights


def page(numbers: range, following: int | None, kind: str = "VisualSearch") -> dict[str, Any]:
    data: dict[str, Any] = {"value": [{"imageId": str(number), "name": f"n{number}"} for number in numbers]}
    if following is not None:
        data |= {"nextOffset": following, "totalEstimatedMatches": 900}
    tag = {"displayName": "", "actions": [{"_type": "ImageModuleAction", "actionType": kind, "data": data}]}
    return {"_type": "ImageKnowledge", "tags": [tag], "image": {"imageInsightsToken": "bcid_own"}}


def read(provider: Bing, request: Request, body: Any) -> Reading:
    outcome = provider.read(request, Answer(status=200, headers={}, body=orjson.dumps(body), asked_at=0.0))
    assert isinstance(outcome, Reading)
    return outcome


def knowledge(request: Request) -> Any:
    return orjson.loads(decode(dict(request.headers)["Content-Type"], request.body)["knowledgeRequest"].data)


def fetch_pages(provider: Bing, first: Request, pages: list[Any]) -> tuple[Reading, list[Request]]:
    """Do what the fetch stage does: send requests and join the responses until no page is left that is needed."""
    sent, so_far, request = [], None, first
    for body in pages:
        sent.append(request)
        so_far = join(so_far, read(provider, request, body))
        if so_far.more is None:
            break
        request = so_far.more
    assert so_far is not None
    return so_far, sent


def test_pages_on_with_next_offset(make: Callable[..., Bing], row: Callable[..., Row]) -> None:
    """The next page begins at nextOffset, which is not offset plus count."""
    bing = make(max_similar=60, market="en-US", site="a.example")
    crop = Crop(left=0, top=0, right=0.5, bottom=1)
    (first,) = bing.requests(row(crop=crop), None)
    pages = [page(range(35), 151), page(range(35, 65), 300), page(range(65, 90), 400)]
    reading, sent = fetch_pages(bing, first, pages)
    assert [item["image_id"] for item in reading.insights["similar_images"]["items"]] == [str(n) for n in range(65)]
    assert len(sent) == 2
    assert (sent[1].target, sent[1].crop) == (first.target, crop)
    assert knowledge(sent[1]) == {
        "imageInfo": {**knowledge(first)["imageInfo"]},
        "knowledgeRequest": {
            "filters": {"site": "a.example"},
            "invokedSkills": ["SimilarImages"],
            "offset": 151,
            "count": 35,
        },
    }


@pytest.mark.parametrize(
    ("pages", "calls"),
    [
        ([page(range(35), None)], 1),
        ([page(range(0), 50)], 1),
        ([page(range(35), 151), page(range(35), 300), page(range(35), 400)], 2),
        ([page(range(35), 151), page(range(0), 300), page(range(1), 400)], 2),
        ([page(range(500), 900)], 1),
    ],
    ids=["the end", "nothing similar", "nothing new", "an empty page", "enough at once"],
)
def test_stops(pages: list[Any], calls: int, make: Callable[..., Bing], row: Callable[..., Row]) -> None:
    """No call is made for a page that can't add anything."""
    bing = make(max_similar=500)
    (first,) = bing.requests(row(), None)
    reading, sent = fetch_pages(bing, first, pages)
    assert (len(sent), reading.more) == (calls, None)


def test_pages_only_with_max_similar(make: Callable[..., Bing], row: Callable[..., Row]) -> None:
    """Without max_similar, one call is made."""
    bing = make()
    (first,) = bing.requests(row(), None)
    assert read(bing, first, page(range(35), 151)).more is None


def test_pages_products(make: Callable[..., Bing], row: Callable[..., Row]) -> None:
    """The configured skill is the one whose results are paged."""
    bing = make(max_similar=50, skills="SimilarProducts", count=10)
    (first,) = bing.requests(row(), None)
    more = read(bing, first, page(range(10), 41, "ProductVisualSearch")).more
    assert more is not None
    assert knowledge(more)["knowledgeRequest"] == {"invokedSkills": ["SimilarProducts"], "offset": 41, "count": 10}


def test_an_uploaded_picture_is_not_sent_again(
    make: Callable[..., Bing], row: Callable[..., Row], prepared: Callable[..., Prepared]
) -> None:
    """Requests for further pages of an uploaded picture name it by the token of the first response."""
    bing = make(max_similar=50)
    (first,) = bing.requests(row(), prepared(b"picture"))
    more = read(bing, first, page(range(10), 41)).more
    assert more is not None
    assert (more.form, b"picture" in more.body) == ("token", False)
    assert knowledge(more)["imageInfo"] == {"imageInsightsToken": "bcid_own"}


def test_the_embedded_service_gets_the_picture_again(
    make: Callable[..., Bing], row: Callable[..., Row], prepared: Callable[..., Prepared]
) -> None:
    """The embedded service keeps no uploaded picture, so each request has it."""
    local = make("local", max_similar=50)
    (first,) = local.requests(row(), prepared(b"picture\r\n--"))
    more = read(local, first, page(range(10), 41)).more
    assert more is not None
    head = f"Content-Type: {dict(more.headers)['Content-Type']}\r\n\r\n".encode()
    names, _ = zip(
        *[(part.get_filename(), part) for part in email.message_from_bytes(head + more.body).walk()], strict=True
    )
    assert (more.form, names) == ("bytes", (None, None, "image"))
    assert decode(dict(more.headers)["Content-Type"], more.body)["image"].data == b"picture\r\n--"


def test_responses_are_merged(make: Callable[..., Bing], row: Callable[..., Row], own: Callable[[str], Any]) -> None:
    """Insights and recognised entities, from a call each, are in one record."""
    bing = make(ask="details", modules=("Tags", "RecognizedEntities"))
    requests = bing.requests(row(), None)
    reading = None
    for request, name in zip(requests, ("insights", "recognized_entities"), strict=True):
        reading = join(reading, read(bing, request, own(name)))
    assert reading is not None
    assert (len(reading.insights["tags"]), len(reading.insights["entities"])) == (2, 3)
    assert reading.insights["insights_token"] == "bcid_3297"


ITEMS = st.lists(st.integers(0, 9), max_size=6, unique=True)


@given(ITEMS, ITEMS)
def test_merging_keeps_order_and_nothing_twice(first: list[int], second: list[int]) -> None:
    """Earlier items come first, new ones follow in their order, and the arguments are not changed."""
    insights = [no_insights(), no_insights()]
    for one, numbers in zip(insights, (first, second), strict=True):
        one["similar_images"]["items"] += [{"image_id": str(number)} for number in numbers]
        one["pages"] += [{"name": str(number)} for number in numbers]
    merged = merge(*insights)
    expected = [*first, *(number for number in second if number not in first)]
    assert [item["image_id"] for item in merged["similar_images"]["items"]] == [str(number) for number in expected]
    assert [item["name"] for item in merged["pages"]] == [str(number) for number in expected]
    assert len(insights[0]["pages"]) == len(first)
    assert merge(merged, insights[1]) == merged
