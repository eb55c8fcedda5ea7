"""Answers have the shapes of the published protocol: by our own table of facts, and by the swagger where it lies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline.service.findings import Findings, Item, OfferGroup, RecipeFacts
from pipeline.service.http.answers import image_insights, image_knowledge, quality_hint
from pipeline.service.http.details import ALL, MODULES, Details
from pipeline.service.http.imagesearch import read_search
from pipeline.service.http.listings import images, trending_images
from pipeline.service.http.members import Known
from pipeline.service.http.objects import Links
from pipeline.service.http.visualsearch import VisualSearch
from pipeline.service.http.wire import ByToken, Page
from pipeline.service.refusals import invalid
from pipeline.service.search.words import Hits

ItemOf = Callable[..., Item]
FindingsOf = Callable[[Sequence[Item]], Findings]
ASKED = ByToken(token="t")
NUMBER = (int, float)

# Reference 003 and 004, Response objects: member -> type, [element] or the name of another object.
SHAPES: dict[str, dict[str, Any]] = {
    "ImageKnowledge": {
        "_type": str,
        "tags": ["ImageTag"],
        "image": "Image",
        "imageQualityHints": [{"category": str}],
        "dominantColors": [{"hex": str, "share": NUMBER}],
        "imageCaption": "ImageCaption",
        "unavailable": [{"kind": str, "reason": str}],
    },
    "ImageTag": {
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
        "insightsMetadata": {
            "shoppingSourcesCount": int,
            "pagesIncludingCount": int,
            "availableSizesCount": int,
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
    "Rating": {"ratingValue": NUMBER, "bestRating": NUMBER, "reviewCount": int},
    "Query": {"text": str, "displayText": str, "searchLink": str},
    "Recipe": {
        "name": str,
        "url": str,
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
        "unavailable": [{"kind": str, "reason": str}],
    },
    "Images": {
        "_type": str,
        "readLink": str,
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


def _problems(value: Any, shape: Any, where: str) -> list[str]:
    """Say where a value departs from its shape: an unknown member, a null, a wrong type."""
    if isinstance(shape, str):
        return _problems(value, SHAPES[shape], where)
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{where} is no object"]
        unknown = [f"{where}.{name} is unknown" for name in value.keys() - shape.keys()]
        known = value.keys() & shape.keys()
        return unknown + [each for name in known for each in _problems(value[name], shape[name], f"{where}.{name}")]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{where} is no list"]
        return [each for at, element in enumerate(value) for each in _of_any(element, shape, f"{where}[{at}]")]
    fits = isinstance(value, shape) and not isinstance(value, bool)
    return [] if fits else [f"{where} is {value!r}"]


def _of_any(value: Any, shapes: list[Any], where: str) -> list[str]:
    found = [_problems(value, shape, where) for shape in shapes]
    return min(found, key=len)


def _answers(item_of: ItemOf, findings_of: FindingsOf) -> Iterator[dict[str, Any]]:
    recipe = RecipeFacts(creator="Ann", cook_time="PT25M", prep_time="PT15M", total_time="PT40M")
    rich = [item_of(0, recipe=recipe), *(item_of(number) for number in range(1, 50))]
    facts = {
        name: None
        for name in Item.__dataclass_fields__
        if name not in {"number", "id", "image", "tags", "dominant_colors"}
    }
    poor = [item_of(number, **facts) for number in range(4)]
    links = Links(base="http://127.0.0.1:9")
    currencies = tuple(OfferGroup(currency=name, low_price=1.0, items=(rich[0],)) for name in ("USD", "EUR"))
    mixed = replace(findings_of(rich), offers=currencies)
    bare = replace(findings_of(poor), offers=(), best_query=None, caption=None, same=())
    for found in (findings_of(rich), mixed, bare):
        for known in (
            Known(findings=found, token="t", bytes=17, related=("mugs",), links=links),
            Known(findings=found, token="t"),
        ):
            yield image_knowledge(known, VisualSearch(source=ASKED))
            yield image_knowledge(known, VisualSearch(source=ASKED, skill="SimilarProducts", page=Page(count=2)))
            yield image_insights(known, Details(source=ASKED, query="mug"))
    yield quality_hint("ImageKnowledge", "UnknownFormat")
    yield quality_hint("ImageInsights", "ImageDownloadFailed")
    yield images(Hits(items=tuple(rich[:9]), total=30), read_search({"q": "mug"}), links)
    yield images(Hits(items=(), total=0), read_search({"q": "mug"}), Links())
    yield trending_images([("mug", rich[0])], links)
    yield trending_images([], links)
    yield invalid("mkt", "x", "must be a market").refusal.body()


def test_answers_hold_documented_members_only(item_of: ItemOf, findings_of: FindingsOf) -> None:
    """Every member is known and of its type, nothing is null, from the richest answer to the poorest."""
    for answer in _answers(item_of, findings_of):
        assert _problems(answer, answer["_type"], answer["_type"]) == []


def test_answers_validate_against_the_published_swagger(
    project: Path, item_of: ItemOf, findings_of: FindingsOf
) -> None:
    """The machine-readable contract agrees: each answer by its type, each action by its own."""
    folder = project.parent / "shared" / "reference" / "swagger"
    if not folder.is_dir():
        pytest.skip("../shared/reference/swagger is not beside this checkout")
    checks = {name: _Swagger(folder / f"{name}.json") for name in ("VisualSearch", "ImageSearch")}
    for answer in _answers(item_of, findings_of):
        book = "VisualSearch" if answer["_type"] in {"ImageKnowledge", "ErrorResponse"} else "ImageSearch"
        checks[book].validate(answer, answer["_type"])
        for tag in answer.get("tags", []):
            for action in tag["actions"]:
                checks[book].validate(action, action.get("_type", "ImageAction"))


class _Swagger:
    """One published contract. `_type` is not required anywhere: recorded answers leave it out, against the contract."""

    def __init__(self, path: Path) -> None:
        self._definitions = json.loads(path.read_text(encoding="utf-8-sig"))["definitions"]
        for definition in self._definitions.values():
            if "_type" in definition.get("required", []):
                definition["required"] = [name for name in definition["required"] if name != "_type"] or None
            if definition.get("required", True) is None:
                del definition["required"]

    def validate(self, value: object, name: str) -> None:
        """Raise ValidationError where a value is not what the definition says."""
        schema = {"$ref": f"#/definitions/{name}", "definitions": self._definitions}
        jsonschema.Draft4Validator(schema).validate(value)


def test_pages_are_an_empty_list_where_there_are_none(findings_of: FindingsOf, item_of: ItemOf) -> None:
    """Reference 003: no page found is `value: []`, not an absent insight."""
    found = replace(findings_of([item_of(0), item_of(1)]), same=())
    pages = image_knowledge(Known(findings=found, token="t"), VisualSearch(source=ASKED))["tags"][0]["actions"][0]
    assert (pages["actionType"], pages["data"]) == ("PagesIncluding", {"value": []})


def test_the_source_image_has_its_own_facts_where_the_catalogue_has_none(
    findings_of: FindingsOf, item_of: ItemOf
) -> None:
    """ImageById of an unknown picture: its size, format, colour, and no borrowed name."""
    found = replace(findings_of([item_of(0), item_of(1)]), same=(), offers=())
    actions = image_knowledge(Known(findings=found, token="t", bytes=17), VisualSearch(source=ASKED))["tags"][0][
        "actions"
    ]
    [source] = [action["image"] for action in actions if action["actionType"] == "ImageById"]
    assert source == {
        "name": "",
        "contentSize": "17 B",
        "encodingFormat": "png",
        "width": 300,
        "height": 200,
        "insightsMetadata": {"pagesIncludingCount": 0, "availableSizesCount": 0},
        "accentColor": "1E40AF",
    }


def test_sizes_are_listed_once(findings_of: FindingsOf, item_of: ItemOf) -> None:
    """MoreSizes names the picture itself, and beside it each other size of the catalogue once, the largest first."""
    found = findings_of([item_of(0), item_of(1)])
    rows = [item_of(n, width=width, height=100) for n, width in enumerate((300, 900, 300, 1200, 900))]
    found = replace(found, same=tuple(replace(found.same[0], item=row) for row in rows))
    answer = image_knowledge(Known(findings=found, token="t"), VisualSearch(source=ASKED))
    [sizes] = [action for action in answer["tags"][0]["actions"] if action["actionType"] == "MoreSizes"]
    assert sizes["image"]["width"] == 300
    assert [each["width"] for each in sizes["data"]["value"]] == [1200, 900]


def test_currencies_are_never_mixed(findings_of: FindingsOf, item_of: ItemOf) -> None:
    """The offers are all there, each currency has a sum of its own, and no lowest price is made up over both."""
    dollars, euros = item_of(0, currency="USD"), item_of(1)
    groups = (
        OfferGroup(currency="USD", low_price=10.0, items=(dollars, dollars)),
        OfferGroup(currency="EUR", low_price=11.0, items=(euros,)),
    )
    found = replace(findings_of([dollars, euros]), offers=groups)
    insights = image_insights(Known(findings=found, token="t"), Details(source=ASKED))
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
    """The picture itself says how many offers there are, and from which price on."""
    insights = image_insights(Known(findings=findings_of([item_of(0), item_of(1)]), token="t"), Details(source=ASKED))
    summary = insights["image"]["insightsMetadata"]["aggregateOffer"]
    assert summary == {"priceCurrency": "EUR", "lowPrice": 10.0, "offerCount": 2}


def test_a_caption_without_a_page_stays_unsaid(findings_of: FindingsOf, item_of: ItemOf) -> None:
    """Reference 004 wants every caption attributed to its source."""
    found = findings_of([item_of(0), item_of(1)])
    assert found.caption is not None
    found = replace(found, caption=replace(found.caption, source_url=None))
    assert "imageCaption" not in image_knowledge(Known(findings=found, token="t"), VisualSearch(source=ASKED))


@pytest.mark.parametrize("module", sorted(ALL - {"Collections"}))
def test_one_module_gives_one_member(module: str, findings_of: FindingsOf, item_of: ItemOf) -> None:
    """modules=X leaves the documented member of X, and nothing else of the modules (reference 004, ImageInsights)."""
    rows = [item_of(number, recipe=RecipeFacts(cook_time="PT5M")) for number in range(4)]
    known = Known(findings=findings_of(rows), token="t", related=("mugs",))
    asked = Details(source=ASKED, modules=frozenset({module}), everything=False, query="mug")
    members = image_insights(known, asked).keys() & (SHAPES["ImageInsights"].keys() - {"image", "imageInsightsToken"})
    assert len(members - {"_type", "dominantColors", "unavailable"}) == 1


def test_related_searches_need_the_query(findings_of: FindingsOf, item_of: ItemOf) -> None:
    """To include related searches, the request must include the original query string (reference 004, modules)."""
    known = Known(findings=findings_of([item_of(0), item_of(1)]), token="t", related=("mugs",))
    assert "relatedSearches" not in image_insights(known, Details(source=ASKED))
    assert "relatedSearches" in image_insights(known, Details(source=ASKED, query="mug"))


def test_what_can_not_be_known_is_named_for_what_was_asked(findings_of: FindingsOf, item_of: ItemOf) -> None:
    """`unavailable` names the modules asked for; everything where all were."""
    known = Known(findings=findings_of([item_of(0), item_of(1)]), token="t")
    entities = Details(source=ASKED, modules=frozenset({"RecognizedEntities"}), everything=False)
    assert image_insights(known, entities)["unavailable"] == [{"kind": "entities", "reason": "no knowledge base"}]
    kinds = [each["kind"] for each in image_insights(known, Details(source=ASKED))["unavailable"]]
    assert kinds == ["entities", "text", "related_searches"]
    assert len(MODULES) == len(ALL) + 1
