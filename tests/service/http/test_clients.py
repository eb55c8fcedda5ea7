"""Microsoft's own Python clients use the service over loopback: code that this project did not write."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from pipeline.service.access.authenticator import Allowance, ApiKey
from pipeline.service.engine.pictures import WHOLE
from pipeline.service.text.recognised_text import RecognisedText, TextLine, TextRegion
from pipeline.service.text.store import TextStore

if TYPE_CHECKING:
    from pipeline.service.findings import Engine
    from tests.service.serving import FixedEngine, Served

visual = pytest.importorskip("azure.cognitiveservices.search.visualsearch", reason="the test extra is not installed")
imaging = pytest.importorskip("azure.cognitiveservices.search.imagesearch", reason="the test extra is not installed")
msrest = pytest.importorskip("msrest.authentication", reason="the test extra is not installed")

VisualError = visual.models.ErrorResponseException
ImageError = imaging.models.ErrorResponseException
KEY = "0123456789abcdef"
Start = Callable[..., "Served"]
Clients = tuple[Any, Any]


def _clients(served: Served, key: str = KEY) -> Iterator[Clients]:
    credentials = msrest.CognitiveServicesCredentials(key)
    with (
        visual.VisualSearchClient(endpoint=served.url, credentials=credentials) as search,
        imaging.ImageSearchClient(endpoint=served.url, credentials=credentials) as images,
    ):
        for client in (search, images):  # a refusal must reach the test, and not be retried
            client.config.retry_policy.policy.total = 0
            client.config.retry_policy.policy.raise_on_status = False
        yield search.images, images.images


@pytest.fixture
def over_fixed_engine(engine: FixedEngine, start: Start) -> Iterator[Clients]:
    """Return both clients of a service with fixed findings."""
    yield from _clients(start(engine, keys=(ApiKey(secret=SecretStr(KEY)),), base_url="http://127.0.0.1:9"))


@pytest.fixture
def over_catalogue(real_engine: Engine, start: Start) -> Iterator[Clients]:
    """Return both clients of a service over the real engine."""
    yield from _clients(start(real_engine))


def _actions(knowledge: Any) -> dict[str, Any]:
    return {action.action_type: action for action in knowledge.tags[0].actions}


def test_visual_search_by_url(over_fixed_engine: Clients) -> None:
    """Every default insight arrives as a typed object of the client."""
    request = json.dumps({"imageInfo": {"url": "https://img.shop.example/3.jpg"}})
    actions = _actions(over_fixed_engine[0].visual_search(knowledge_request=request, market="en-US"))
    models = visual.models
    assert isinstance(actions["PagesIncluding"], models.ImageModuleAction)
    assert [page.host_page_url for page in actions["PagesIncluding"].data.value] == [
        "https://shop.example/mugs/0/",
        "https://shop.example/mugs/1/",
    ]
    assert isinstance(actions["ShoppingSources"], models.ImageShoppingSourcesAction)
    first = actions["ShoppingSources"].data.offers[0]
    assert (first.price, first.price_currency, first.seller.name, first.availability) == (10, "EUR", "Shop", "InStock")
    assert first.aggregate_rating.rating_value == 4.5
    assert len(actions["VisualSearch"].data.value) == 35
    assert actions["ProductVisualSearch"].data.value[0].insights_metadata.aggregate_offer.offers[0].price == 12
    assert isinstance(actions["DocumentLevelSuggestions"], models.ImageRelatedSearchesAction)
    assert [query.text for query in actions["DocumentLevelSuggestions"].data.value] == ["mug", "blue"]
    assert actions["BestRepresentativeQuery"].display_name == "Blue mug 0"
    assert {"ImageById", "MoreSizes"} <= set(actions)


def test_tags_have_boxes(over_fixed_engine: Clients) -> None:
    """The other tags have both rectangles and a URL for more."""
    request = json.dumps({"imageInfo": {"url": "https://img.shop.example/3.jpg"}})
    tag = over_fixed_engine[0].visual_search(knowledge_request=request).tags[1]
    assert tag.display_name == "mug"
    assert (tag.bounding_box.query_rectangle.top_left.x, tag.bounding_box.query_rectangle.bottom_right.y) == (0.1, 0.8)
    assert tag.bounding_box.display_rectangle.top_right.x == 0.9
    assert [action.action_type for action in tag.actions] == ["TextResults", "ImageResults"]
    assert tag.actions[1].service_url.endswith("/v7.0/images/search?q=mug")
    assert [action.web_search_url.partition("/#")[2] for action in tag.actions] == ["q=mug", "q=mug"]
    assert tag.image.thumbnail_url


def test_text_and_addresses_arrive(engine: FixedEngine, start: Start, tmp_path: Path) -> None:
    """The form that the clients support (Visual Search query guide) has the whole text; addresses are links."""
    corner = (0.1, 0.2)
    line = TextLine(text="888 555 1212", box=(corner, corner, corner, corner), words=())
    store = TextStore(tmp_path / "texts.db")
    store.put("ab" * 32, WHOLE, RecognisedText(regions=(TextRegion(box=line.box, lines=(line,)),)))
    store.close()
    request = json.dumps({"imageInfo": {"url": "https://img.shop.example/3.jpg"}})
    for search, _ in _clients(start(engine, text=True, texts=tmp_path / "texts.db")):
        tags = [tag for tag in search.visual_search(knowledge_request=request).tags if tag.display_name[:2] == "##"]
        (whole,) = [action for action in tags[0].actions if action.action_type == "TextResults"]
        assert whole.display_name == "888 555 1212"
        assert [action.url for action in tags[1].actions] == ["tel:888%20555%201212"]


def test_upload_with_crop_and_site(over_catalogue: Clients, paint: Callable[..., bytes]) -> None:
    """The real engine finds an uploaded picture, its crop, and similar pictures of one site only."""
    red = io.BytesIO(paint((185, 28, 28)))
    request = json.dumps({"knowledgeRequest": {"filters": {"site": "www.shop.example"}}})
    actions = _actions(over_catalogue[0].visual_search(image=red, knowledge_request=request))
    assert actions["ImageById"].image.image_id == "rectangle-red"
    assert actions["VisualSearch"].data.value
    area = {"left": 0.1, "top": 0.1, "right": 0.95, "bottom": 0.95}
    elsewhere = json.dumps(
        {"imageInfo": {"cropArea": area}, "knowledgeRequest": {"filters": {"site": "elsewhere.example"}}}
    )
    red.seek(0)
    actions = _actions(over_catalogue[0].visual_search(image=red, knowledge_request=elsewhere))
    assert actions["VisualSearch"].data.value == []


def test_a_token_from_a_search_leads_to_insights(over_catalogue: Clients) -> None:
    """The token of a search result can be used for Visual Search and for details."""
    hits = over_catalogue[1].search(query="red ellipse")
    assert [image.image_id for image in hits.value][:1] == ["ellipse-red"]
    token = hits.value[0].image_insights_token
    request = json.dumps({"imageInfo": {"imageInsightsToken": token}})
    knowledge = over_catalogue[0].visual_search(knowledge_request=request)
    assert knowledge.image.image_insights_token == token
    insights = over_catalogue[1].details(query="red", insights_token=token, modules=["All"])
    assert insights.image_insights_token == token
    assert insights.pages_including.value[0].host_page_url == "https://www.shop.example/ellipse/red"
    assert insights.shopping_sources.offers[0].price == 9.5


def test_details_by_modules(over_fixed_engine: Clients) -> None:
    """Only the requested modules are in the response, each as a typed object."""
    url = "https://img.shop.example/3.jpg"
    few = over_fixed_engine[1].details(
        query="mug", image_url=url, modules=["BRQ", "Caption", "Tags"], crop_type="Rectangular"
    )
    assert (few.best_representative_query.text, few.image_tags.value[0].name) == ("Blue mug 0", "mug")
    assert (few.image_caption.caption, few.image_caption.data_source_url) == (
        "A mug for tea and coffee",
        "https://shop.example/mugs/0/",
    )
    assert (few.pages_including, few.visually_similar_images, few.shopping_sources) == (None, None, None)
    entities = over_fixed_engine[1].details(query="mug", image_url=url, modules=["RecognizedEntities"])
    assert entities.recognized_entity_groups is None
    assert entities.additional_properties["unavailable"] == [{"kind": "entities", "reason": "no knowledge base"}]


def test_search_with_filters_and_paging(over_fixed_engine: Clients) -> None:
    """Filters narrow, and nextOffset leads to the next page."""
    images = over_fixed_engine[1]
    first = images.search(query="blue mug", count=50, color="Blue", aspect="Wide", image_type="Shopping")
    assert (first.total_estimated_matches, len(first.value), first.next_offset) == (60, 50, 50)
    second = images.search(query="blue mug", count=50, offset=first.next_offset, color="Blue")
    assert (len(second.value), second.next_offset) == (10, None)
    narrow = images.search(query="mug", min_width=310, max_width=312)
    assert sorted(image.width for image in narrow.value) == [310, 311, 312]
    assert images.search(query="mug", color="Red").value == []


def test_trending_is_what_was_searched_here(over_fixed_engine: Clients) -> None:
    """Before any search nothing trends; then the search does, and it is related to its results."""
    search, images = over_fixed_engine
    assert images.trending().categories == []
    images.search(query="Blue mug 3")
    tile = images.trending().categories[0].tiles[0]
    assert (tile.query.text, tile.image.image_id) == ("blue mug 3", "sku-3")
    request = json.dumps({"imageInfo": {"url": "https://img.shop.example/3.jpg"}})
    related = _actions(search.visual_search(knowledge_request=request))["RelatedSearches"]
    assert [query.text for query in related.data.value] == ["blue mug 3"]


@pytest.mark.parametrize(
    ("request_json", "sub_code", "parameter"),
    [
        ("{}", "ParameterMissing", "image"),
        (
            '{"imageInfo": {"url": "https://a.example/", "imageInsightsToken": "t"}}',
            "ParameterInvalidValue",
            "imageInfo",
        ),
        ('{"imageInfo": {"imageInsightsToken": "t"}}', "ParameterInvalidValue", "imageInsightsToken"),
    ],
    ids=["no-picture", "url-and-token", "unknown-token"],
)
def test_errors_are_the_clients_typed_exception(
    over_fixed_engine: Clients, request_json: str, sub_code: str, parameter: str
) -> None:
    """A 400 is raised as ErrorResponseException with code, sub-code and parameter."""
    with pytest.raises(VisualError) as caught:
        over_fixed_engine[0].visual_search(knowledge_request=request_json)
    error = caught.value.error.errors[0]
    assert caught.value.response.status_code == 400
    assert (error.code, error.sub_code, error.parameter) == ("InvalidRequest", sub_code, parameter)


def test_search_errors_are_typed_too(over_fixed_engine: Clients) -> None:
    """An empty query and an unsupported filter are typed errors."""
    with pytest.raises(ImageError) as missing:
        over_fixed_engine[1].search(query="")
    assert missing.value.error.errors[0].sub_code == "ParameterMissing"
    with pytest.raises(ImageError) as unsupported:
        over_fixed_engine[1].search(query="mug", license="Public")
    assert unsupported.value.error.errors[0].parameter == "license"


@pytest.mark.parametrize(
    ("options", "query", "fault", "status", "code"),
    [
        ({}, "x" * 2100, "", 404, "InvalidRequest"),
        ({"https_only": True}, "mug", "", 410, "InvalidRequest"),
        ({"faults": True}, "mug", '{"status": 500, "sub_code": "UnexpectedError"}', 500, "ServerError"),
        (
            {"faults": True},
            "mug",
            '{"status": 403, "code": "InsufficientAuthorization"}',
            403,
            "InsufficientAuthorization",
        ),
    ],
    ids=["url-too-long", "plain-http", "server-error", "permission"],
)
def test_every_other_status_is_typed_too(
    engine: FixedEngine, start: Start, options: dict[str, Any], query: str, fault: str, status: int, code: str
) -> None:
    """404, 410, 500 and the other 403 arrive as the same exception, with the code of their body."""
    for _, images in _clients(start(engine, **options)):
        with pytest.raises(ImageError) as caught:
            images.search(query=query, custom_headers={"X-Fault": fault} if fault else None)
        assert (caught.value.response.status_code, caught.value.error.errors[0].code) == (status, code)


def test_keys_and_rates_are_typed_too(engine: FixedEngine, start: Start) -> None:
    """401, 429 and the quota's 403 arrive as the same exception."""
    keys = (
        ApiKey(secret=SecretStr("fast"), allowance=Allowance(qps=1)),
        ApiKey(secret=SecretStr("few"), allowance=Allowance(per_month=1)),
    )
    served = start(engine, keys=keys)
    errors = {}
    for key, allowed in (("wrong", 0), ("fast", 1), ("few", 1)):
        for _, images in _clients(served, key):
            assert all(images.trending().categories == [] for _ in range(allowed))
            with pytest.raises(ImageError) as caught:
                images.trending()
            errors[key] = (caught.value.response.status_code, caught.value.error.errors[0].code)
    assert errors == {
        "wrong": (401, "InvalidAuthorization"),
        "fast": (429, "RateLimitExceeded"),
        "few": (403, "RateLimitExceeded"),
    }
