"""Responses have the form of the published protocol: by our own table, and by the swagger if it is available."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.service.findings import Findings, Item, OfferGroup, RecipeFacts, SourcedCaption
from pipeline.service.http.details_request import ALL, MODULES, DetailsRequest
from pipeline.service.http.insight_responses import QualityHint, image_insights, image_knowledge, quality_hint
from pipeline.service.http.json_objects import ServiceLinks
from pipeline.service.http.picture_source import ByToken
from pipeline.service.http.response_parts import ResponseData
from pipeline.service.http.search_request import read_search_request
from pipeline.service.http.search_responses import images_response, trending_response
from pipeline.service.http.visual_search_request import VisualSearchRequest
from pipeline.service.refusals import invalid
from pipeline.service.search.query import PageRange
from pipeline.service.search.word_index import SearchHits
from tests.protocol.contract import Contract

ItemOf = Callable[..., Item]
FindingsOf = Callable[[Sequence[Item]], Findings]
SOURCE = ByToken(token="t")
NUMBER = (int, float)

# Visual Search response guide and Image Search reference, Response objects: member -> type, [element type] or the name
# of another object.
OBJECTS: dict[str, dict[str, Any]] = {
    "ImageKnowledge": {
        "_type": str,
        "tags": ["ImageTag"],
        "image": "Image",
        "imageQualityHints": [{"category": str}],
        "dominantColors": [{"hex": str, "share": NUMBER}],
        "imageCaption": "ImageCaption",
        "duplicates": [{"id": str, "path": str, "kind": str, "score": NUMBER, "sha256": str}],
        "unavailable": [{"kind": str, "reason": str}],
    },
    "ImageTag": {
        "image": {"thumbnailUrl": str},
        "displayName": str,
        "boundingBox": {"queryRectangle": "Quadrilateral", "displayRectangle": "Quadrilateral"},
        "actions": ["Action"],
        "sources": [str],
        "confidence": NUMBER,
    },
    "Quadrilateral": {"topLeft": "Point", "topRight": "Point", "bottomRight": "Point", "bottomLeft": "Point"},
    "Point": {"x": NUMBER, "y": NUMBER},
    "Action": {
        "_type": str,
        "actionType": str,
        "displayName": str,
        "webSearchUrl": str,
        "serviceUrl": str,
        "image": "Image",
        "data": {
            "value": ["Image", "Query", "Recipe"],
            "offers": ["Offer"],
            "currentOffset": int,
            "nextOffset": int,
            "totalEstimatedMatches": int,
        },
    },
    "Image": {
        "webSearchUrl": str,
        "name": str,
        "thumbnailUrl": str,
        "datePublished": str,
        "contentUrl": str,
        "hostPageUrl": str,
        "hostPageDisplayUrl": str,
        "contentSize": str,
        "encodingFormat": str,
        "width": int,
        "height": int,
        "thumbnail": {"width": int, "height": int},
        "imageInsightsToken": str,
        "imageId": str,
        "accentColor": str,
        "isFamilyFriendly": bool,
        "insightsMetadata": {
            "shoppingSourcesCount": int,
            "pagesIncludingCount": int,
            "availableSizesCount": int,
            "recipeSourcesCount": int,
            "aggregateOffer": "AggregateOffer",
        },
    },
    "AggregateOffer": {
        "name": str,
        "priceCurrency": str,
        "lowPrice": NUMBER,
        "offerCount": int,
        "aggregateRating": "Rating",
        "offers": ["Offer"],
    },
    "Offer": {
        "_type": str,
        "lowPrice": NUMBER,
        "offerCount": int,
        "name": str,
        "url": str,
        "description": str,
        "seller": {"name": str, "image": {"url": str}},
        "price": NUMBER,
        "priceCurrency": str,
        "availability": str,
        "aggregateRating": "Rating",
        "lastUpdated": str,
    },
    "Rating": {"ratingValue": NUMBER, "bestRating": NUMBER, "reviewCount": int, "text": str},
    "Query": {"text": str, "displayText": str, "webSearchUrl": str, "searchLink": str, "thumbnail": {"url": str}},
    "Recipe": {
        "name": str,
        "url": str,
        "thumbnailUrl": str,
        "creator": {"name": str},
        "cookTime": str,
        "prepTime": str,
        "totalTime": str,
        "aggregateRating": "Rating",
    },
    "ImageCaption": {"caption": str, "dataSourceUrl": str, "relatedSearches": ["Query"]},
    "ImageInsights": {
        "_type": str,
        "imageInsightsToken": str,
        "image": "Image",
        "bestRepresentativeQuery": "Query",
        "imageCaption": "ImageCaption",
        "pagesIncluding": {"value": ["Image"]},
        "shoppingSources": "AggregateOffer",
        "relatedSearches": {"value": ["Query"]},
        "recipes": {"value": ["Recipe"]},
        "visuallySimilarImages": {"value": ["Image"]},
        "visuallySimilarProducts": {"value": ["Image"]},
        "imageTags": {"value": [{"name": str}]},
        "imageQualityHints": [{"category": str}],
        "dominantColors": [{"hex": str, "share": NUMBER}],
        "duplicates": [{"id": str, "path": str, "kind": str, "score": NUMBER, "sha256": str}],
        "unavailable": [{"kind": str, "reason": str}],
    },
    "Images": {
        "_type": str,
        "webSearchUrl": str,
        "readLink": str,
        "queryExpansions": ["Query"],
        "similarTerms": ["Query"],
        "pivotSuggestions": [{"pivot": str, "suggestions": ["Query"]}],
        "totalEstimatedMatches": int,
        "nextOffset": int,
        "value": ["Image"],
    },
    "TrendingImages": {
        "_type": str,
        "categories": [{"title": str, "tiles": [{"query": "Query", "image": "Image"}]}],
        "unavailable": [{"kind": str, "reason": str}],
    },
    "ErrorResponse": {
        "_type": str,
        "errors": [{"code": str, "subCode": str, "message": str, "moreDetails": str, "parameter": str, "value": str}],
    },
}


def _problems(value: Any, expected: Any, where: str) -> list[str]:
    """Return where a value differs from its type: an unknown member, a null, a wrong type."""
    if isinstance(expected, str):
        return _problems(value, OBJECTS[expected], where)
    if isinstance(expected, dict):
        if not isinstance(value, dict):
            return [f"{where} is no object"]
        unknown = [f"{where}.{name} is unknown" for name in value.keys() - expected.keys()]
        common = value.keys() & expected.keys()
        return unknown + [each for name in common for each in _problems(value[name], expected[name], f"{where}.{name}")]
    if isinstance(expected, list):
        if not isinstance(value, list):
            return [f"{where} is no list"]
        return [each for at, element in enumerate(value) for each in _of_any(element, expected, f"{where}[{at}]")]
    fits = isinstance(value, expected) and not isinstance(value, bool)
    return [] if fits else [f"{where} is {value!r}"]


def _of_any(value: Any, candidates: list[Any], where: str) -> list[str]:
    problems = [_problems(value, expected, where) for expected in candidates]
    return min(problems, key=len)


def _responses(item_of: ItemOf, findings_of: FindingsOf) -> Iterator[dict[str, Any]]:
    recipe = RecipeFacts(creator="Ann", cook_time="PT25M", prep_time="PT15M", total_time="PT40M")
    rich = [item_of(0, recipe=recipe), *(item_of(number) for number in range(1, 50))]
    facts = {
        name: None
        for name in Item.__dataclass_fields__
        if name not in {"number", "id", "image", "tags", "dominant_colors"}
    }
    poor = [item_of(number, **facts) for number in range(4)]
    links = ServiceLinks(base="http://127.0.0.1:9")
    currencies = tuple(OfferGroup(currency=name, low_price=1.0, items=(rich[0],)) for name in ("USD", "EUR"))
    mixed = replace(findings_of(rich), offers=currencies)
    bare = replace(findings_of(poor), offers=(), best_query=None, caption=None, same=())
    for findings in (findings_of(rich), mixed, bare):
        for data in (
            ResponseData(
                findings=findings,
                token="t",
                size=17,
                related=("mugs",),
                links=links,
                pictures={"mug": "a", "mugs": "b"},
            ),
            ResponseData(findings=findings, token="t"),
        ):
            yield image_knowledge(data, VisualSearchRequest(source=SOURCE))
            yield image_knowledge(
                data, VisualSearchRequest(source=SOURCE, skill="SimilarProducts", page=PageRange(count=2))
            )
            yield image_insights(data, DetailsRequest(source=SOURCE, query="mug"))
    yield quality_hint("ImageKnowledge", QualityHint(category="UnknownFormat", details="the file is a PDF"))
    yield quality_hint("ImageInsights", QualityHint(category="ImageDownloadFailed"))
    yield images_response(SearchHits(items=tuple(rich[:9]), total=30), read_search_request({"q": "mug"}), links, {})
    yield images_response(SearchHits(items=(), total=0), read_search_request({"q": "mug"}), ServiceLinks(), {})
    yield trending_response([("mug", rich[0])], links, {})
    yield trending_response([], links, {})
    yield invalid("mkt", "x", "must be a market").refusal.body()


def test_responses_have_documented_members_only(item_of: ItemOf, findings_of: FindingsOf) -> None:
    """Every member is documented and of its type, and nothing is null, from the fullest response to the emptiest."""
    for response in _responses(item_of, findings_of):
        assert _problems(response, response["_type"], response["_type"]) == []


def test_responses_validate_against_the_published_swagger(
    project: Path, item_of: ItemOf, findings_of: FindingsOf
) -> None:
    """Each response is valid for its type, and each action for its own."""
    contract = Contract(project)
    for response in _responses(item_of, findings_of):
        contract.validate(response)


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "JavaScript://x.example/%0aalert(1)", "data:text/html,x", "file:///etc/passwd", "ftp://x.example/a",
     " https://x.example/", "https:///", "shop.example/a", "http://[x/"],
)  # fmt: skip
def test_links_of_other_schemes_leave_no_response(item_of: ItemOf, findings_of: FindingsOf, url: str) -> None:
    """A link of the catalogue that is no web address could run a script, or open a file, in a viewer."""
    recipe = RecipeFacts(creator="Ann", cook_time=None, prep_time=None, total_time=None)
    links = {"content_url": url, "page_url": url, "seller_image_url": url}
    rows = [item_of(number, recipe=recipe, **links) for number in range(9)]
    caption = SourcedCaption(text="A mug", source_url=url)
    data = ResponseData(findings=replace(findings_of(rows), caption=caption), token="t")
    for response in (
        image_knowledge(data, VisualSearchRequest(source=SOURCE)),
        image_insights(data, DetailsRequest(source=SOURCE, query="mug")),
        images_response(SearchHits(items=tuple(rows), total=9), read_search_request({"q": "mug"}), ServiceLinks(), {}),
        trending_response([("mug", rows[0])], ServiceLinks(), {}),
    ):
        assert url.strip() not in json.dumps(response)
        assert _problems(response, response["_type"], response["_type"]) == []


def test_pages_are_an_empty_list_where_there_are_none(findings_of: FindingsOf, item_of: ItemOf) -> None:
    """Visual Search response guide: without pages the insight is `value: []`, and not missing."""
    findings = replace(findings_of([item_of(0), item_of(1)]), same=())
    pages = image_knowledge(ResponseData(findings=findings, token="t"), VisualSearchRequest(source=SOURCE))["tags"][0][
        "actions"
    ][0]
    assert (pages["actionType"], pages["data"]) == ("PagesIncluding", {"value": []})


def test_the_source_image_has_its_own_facts_if_the_catalogue_has_none(findings_of: FindingsOf, item_of: ItemOf) -> None:
    """ImageById of an unknown picture has its size, format and colour, and no name."""
    findings = replace(findings_of([item_of(0), item_of(1)]), same=(), offers=())
    actions = image_knowledge(ResponseData(findings=findings, token="t", size=17), VisualSearchRequest(source=SOURCE))[
        "tags"
    ][0]["actions"]
    [source] = [action["image"] for action in actions if action["actionType"] == "ImageById"]
    assert source == {
        "name": "",
        "contentSize": "17 B",
        "encodingFormat": "png",
        "width": 300,
        "height": 200,
        "insightsMetadata": {
            "pagesIncludingCount": 0,
            "availableSizesCount": 0,
            "shoppingSourcesCount": 0,
            "recipeSourcesCount": 0,
        },
        "accentColor": "1E40AF",
    }


def test_sizes_are_listed_once(findings_of: FindingsOf, item_of: ItemOf) -> None:
    """MoreSizes has the picture itself and each other size of the catalogue once, the largest first."""
    findings = findings_of([item_of(0), item_of(1)])
    rows = [item_of(n, width=width, height=100) for n, width in enumerate((300, 900, 300, 1200, 900))]
    findings = replace(findings, same=tuple(replace(findings.same[0], item=row) for row in rows))
    response = image_knowledge(ResponseData(findings=findings, token="t"), VisualSearchRequest(source=SOURCE))
    [sizes] = [action for action in response["tags"][0]["actions"] if action["actionType"] == "MoreSizes"]
    assert sizes["image"]["width"] == 300
    assert [each["width"] for each in sizes["data"]["value"]] == [1200, 900]


def test_currencies_are_never_mixed(findings_of: FindingsOf, item_of: ItemOf) -> None:
    """All offers are listed, each currency has a summary of its own, and there is no lowest price over both."""
    dollars, euros = item_of(0, currency="USD"), item_of(1)
    groups = (
        OfferGroup(currency="USD", low_price=10.0, items=(dollars, dollars)),
        OfferGroup(currency="EUR", low_price=11.0, items=(euros,)),
    )
    findings = replace(findings_of([dollars, euros]), offers=groups)
    insights = image_insights(ResponseData(findings=findings, token="t"), DetailsRequest(source=SOURCE))
    assert insights["shoppingSources"].keys() == {"offers"}
    assert [offer["priceCurrency"] for offer in insights["shoppingSources"]["offers"]] == ["USD", "USD", "EUR"]
    assert _problems(insights, "ImageInsights", "") == []
    assert insights["image"]["insightsMetadata"]["aggregateOffer"] == {
        "offerCount": 3,
        "offers": [
            {"_type": "AggregateOffer", "priceCurrency": "USD", "lowPrice": 10.0, "offerCount": 2},
            {"_type": "AggregateOffer", "priceCurrency": "EUR", "lowPrice": 11.0, "offerCount": 1},
        ],
    }


def test_offers_of_one_currency_are_summed_up(findings_of: FindingsOf, item_of: ItemOf) -> None:
    """The picture has the number of offers and the lowest price."""
    insights = image_insights(
        ResponseData(findings=findings_of([item_of(0), item_of(1)]), token="t"), DetailsRequest(source=SOURCE)
    )
    summary = insights["image"]["insightsMetadata"]["aggregateOffer"]
    assert summary == {"priceCurrency": "EUR", "lowPrice": 10.0, "offerCount": 2}


def test_a_caption_without_a_page_is_left_out(findings_of: FindingsOf, item_of: ItemOf) -> None:
    """The Image Search reference requires the source of every caption."""
    findings = findings_of([item_of(0), item_of(1)])
    assert findings.caption is not None
    findings = replace(findings, caption=replace(findings.caption, source_url=None))
    assert "imageCaption" not in image_knowledge(
        ResponseData(findings=findings, token="t"), VisualSearchRequest(source=SOURCE)
    )


@pytest.mark.parametrize("module", sorted(ALL - {"Collections"}))
def test_one_module_gives_one_member(module: str, findings_of: FindingsOf, item_of: ItemOf) -> None:
    """modules=X gives the documented member of X, and no other module's (Image Search reference, ImageInsights)."""
    rows = [item_of(number, recipe=RecipeFacts(cook_time="PT5M")) for number in range(4)]
    data = ResponseData(findings=findings_of(rows), token="t", related=("mugs",))
    request = DetailsRequest(source=SOURCE, modules=frozenset({module}), everything=False, query="mug")
    members = image_insights(data, request).keys() & (OBJECTS["ImageInsights"].keys() - {"image", "imageInsightsToken"})
    assert len(members - {"_type", "dominantColors", "duplicates", "unavailable"}) == 1


def test_related_searches_need_the_query(findings_of: FindingsOf, item_of: ItemOf) -> None:
    """To include related searches, the request must include the original query string.

    Source: Image Search reference, modules.
    """
    data = ResponseData(findings=findings_of([item_of(0), item_of(1)]), token="t", related=("mugs",))
    assert "relatedSearches" not in image_insights(data, DetailsRequest(source=SOURCE))
    assert "relatedSearches" in image_insights(data, DetailsRequest(source=SOURCE, query="mug"))


def test_unavailable_names_the_requested_modules(findings_of: FindingsOf, item_of: ItemOf) -> None:
    """`unavailable` has the kinds of the requested modules, or all kinds if all modules were requested."""
    data = ResponseData(findings=findings_of([item_of(0), item_of(1)]), token="t")
    entities = DetailsRequest(source=SOURCE, modules=frozenset({"RecognizedEntities"}), everything=False)
    assert image_insights(data, entities)["unavailable"] == [{"kind": "entities", "reason": "no knowledge base"}]
    kinds = [each["kind"] for each in image_insights(data, DetailsRequest(source=SOURCE))["unavailable"]]
    assert kinds == ["entities", "text", "related_searches"]
    assert len(MODULES) == len(ALL) + 1
