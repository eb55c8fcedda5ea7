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


def next_of(provider: Bing, request: Request, body: Any) -> Request:
    (following,) = read(provider, request, body).more
    return following.request


def fetch_pages(provider: Bing, first: Request, pages: list[Any]) -> tuple[Reading, list[Request]]:
    """Do what the fetch stage does: send requests and join the responses until no page is left that is needed."""
    sent, so_far, to_send = [], None, [first]
    for body in pages:
        sent.append(to_send.pop(0))
        so_far = join(so_far, read(provider, sent[-1], body))
        to_send += [following.request for following in so_far.more]
        if not to_send:
            break
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
    assert (len(sent), reading.more) == (calls, ())


@pytest.mark.parametrize(
    ("settings", "skills"),
    [
        ({}, []),
        ({"max_similar": 50}, ["SimilarImages"]),
        ({"max_products": 50}, ["SimilarProducts"]),
        ({"max_similar": 50, "max_products": 50}, ["SimilarImages", "SimilarProducts"]),
        ({"max_similar": 9, "max_products": 50}, ["SimilarProducts"]),
    ],
    ids=["neither", "pictures", "products", "both", "enough pictures"],
)
def test_pages_what_is_wanted(
    settings: dict[str, Any], skills: list[str], make: Callable[..., Bing], row: Callable[..., Row]
) -> None:
    """The first request names no skill, so that its response has everything; a further page names its own."""
    bing = make(**settings, **({"count": 10} if settings else {}))
    (first,) = bing.requests(row(), None)
    assert "knowledgeRequest" not in knowledge(first)
    both = page(range(10), 41)
    both["tags"] += page(range(20), 77, "ProductVisualSearch")["tags"]
    asked = [knowledge(following.request)["knowledgeRequest"] for following in read(bing, first, both).more]
    offsets = {"SimilarImages": 41, "SimilarProducts": 77}
    assert asked == [{"invokedSkills": [skill], "offset": offsets[skill], "count": 10} for skill in skills]


def test_paging_keeps_the_rest(make: Callable[..., Bing], row: Callable[..., Row], own: Callable[[str], Any]) -> None:
    """Both lists grow page by page; pages, offers and tags are those of the first response."""
    bing = make(max_similar=60, max_products=60)
    (first,) = bing.requests(row(), None)
    whole = own("knowledge")
    alone = read(bing, first, whole).insights
    (images, products) = read(bing, first, whole).more
    pages = [page(range(90, 120), 300), page(range(200, 290), 400, "ProductVisualSearch"), page(range(120, 190), 500)]
    reading, sent = fetch_pages(bing, first, [whole, *pages])
    assert (len(sent), sent[1:3]) == (4, [images.request, products.request])
    assert [name for name, value in reading.insights.items() if value != alone[name]] == [  # type: ignore[literal-required]  # names of the same type
        "similar_images",
        "similar_products",
    ]
    for name, least in (("similar_images", 100), ("similar_products", 90)):
        assert len(reading.insights[name]["items"]) >= least  # type: ignore[literal-required]  # both are lists of images


def test_the_last_page_leaves_no_next_offset(make: Callable[..., Bing], row: Callable[..., Row]) -> None:
    """A list that was followed to its end says so."""
    bing = make(max_similar=500)
    (first,) = bing.requests(row(), None)
    reading, _ = fetch_pages(bing, first, [page(range(35), 151), page(range(35, 65), None)])
    assert "next_offset" not in reading.insights["similar_images"]


def test_the_calls_of_a_row_are_foretold(make: Callable[..., Bing], row: Callable[..., Row]) -> None:
    """One for everything, and one for each further page of each list."""
    calls = {0: 1, 35: 1, 36: 2, 70: 2, 71: 3}
    assert {most: make(max_similar=most).max_calls(row()) for most in calls} == calls
    assert make(max_similar=71, max_products=150, count=115).max_calls(row()) == 3


def test_an_uploaded_picture_is_not_sent_again(
    make: Callable[..., Bing], row: Callable[..., Row], prepared: Callable[..., Prepared]
) -> None:
    """Requests for further pages of an uploaded picture name it by the token of the first response."""
    bing = make(max_similar=50)
    (first,) = bing.requests(row(), prepared(b"picture"))
    more = next_of(bing, first, page(range(10), 41))
    assert (more.form, b"picture" in more.body) == ("token", False)
    assert knowledge(more)["imageInfo"] == {"imageInsightsToken": "bcid_own"}


def test_the_embedded_service_gets_the_picture_again(
    make: Callable[..., Bing], row: Callable[..., Row], prepared: Callable[..., Prepared]
) -> None:
    """The embedded service keeps no uploaded picture, so each request has it."""
    local = make("local", max_similar=50)
    (first,) = local.requests(row(), prepared(b"picture\r\n--"))
    more = next_of(local, first, page(range(10), 41))
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
