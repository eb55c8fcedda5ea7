"""What the parts of a response become in the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.providers.bing.provider import Bing
from pipeline.records import Answer, Crop, Reading, Request
from pipeline.schema import Insights

Read = Callable[..., Insights]


@pytest.fixture
def read(
    make: Callable[..., Bing],
    request_for: Callable[..., Request],
    answer: Callable[..., Answer],
    own: Callable[[str], Any],
) -> Read:
    """Return a function that reads a response, given as a document or by its name."""

    def read_one(
        document: Any,
        crop: Crop | None = None,
        provider: str = "bing",
        target: str = "/images/visualsearch",
        **headers: str,
    ) -> Insights:
        body = own(document) if isinstance(document, str) else document
        outcome = make(provider).read(request_for(target, crop), answer(body, **headers))
        assert isinstance(outcome, Reading)
        return outcome.insights

    return read_one


def tagged(*actions: Any, name: str = "", **more: Any) -> dict[str, Any]:
    return {"_type": "ImageKnowledge", "tags": [{"displayName": name, "actions": list(actions), **more}]}


def corners(left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    return {
        "topLeft": {"x": left, "y": top},
        "topRight": {"x": right, "y": top},
        "bottomRight": {"x": right, "y": bottom},
        "bottomLeft": {"x": left, "y": bottom},
    }


def test_names_beginning_with_hashes_are_no_tags(read: Read) -> None:
    """Names such as ##TextRecognition must not be shown, and the tag of the whole picture has no name."""
    assert [tag["name"] for tag in read("knowledge")["tags"]] == ["lighthouse"]
    assert read("older_text")["tags"] == []


def test_text_in_both_forms(read: Read) -> None:
    """The newer form has regions, lines and words; of the older one, each whole text becomes a region of one line."""
    newer, older = read("knowledge")["text"], read("older_text")["text"]
    assert newer["full"] == "New York 48874\nHarbour"
    assert [word["text"] for word in newer["regions"][0]["lines"][0]["words"]] == ["New", "York", "48874"]
    assert (older["full"], len(older["regions"])) == ("WALK BIKE ACROSS BRIDGE\nDANGER", 2)
    assert older["regions"][1]["box"][0] == {"x": 0.1, "y": 0.1}
    assert newer["sources"] == older["sources"] == ["OCR"]


def test_a_text_of_the_older_form_keeps_its_own_box_beside_the_newer(read: Read, own: Callable[[str], Any]) -> None:
    """Where both come, each says where its text is; a text with the box of the newer form adds nothing."""
    newer = read("knowledge")["text"]
    document = own("knowledge")
    older = {"displayName": "##TextRecognition", "actions": [{"actionType": "TextResults", "displayName": "Harbour"}]}
    box = {"queryRectangle": corners(0.1, 0.1, 0.2, 0.2)}
    document["tags"].append({**older, "boundingBox": box})
    text = read(document)["text"]
    assert "whole_texts" not in newer
    assert (text["full"], text["regions"], text["box"]) == ("Harbour", newer["regions"], newer["box"])
    [whole] = text["whole_texts"]
    assert (whole["box"][0], whole["lines"][0]["text"]) == ({"x": 0.1, "y": 0.1}, "Harbour")


def test_addresses_in_the_text(read: Read) -> None:
    """Uri actions become mail, phone and web addresses, each with its box."""
    uris = read("knowledge")["uris"]
    assert [(uri["kind"], uri["uri"]) for uri in uris] == [
        ("phone", "tel:888%20555%201212"),
        ("mail", "mailto:someone@mail.example"),
        ("web", "http://www.shop.example/"),
    ]
    assert uris[0]["box"][2] == {"x": 0.77, "y": 0.48}


def test_boxes_are_mapped_back_through_a_crop(read: Read) -> None:
    """A box of Visual Search is relative to the crop of the request, and in the record to the whole picture."""
    crop = Crop(left=0.5, top=0.2, right=1.0, bottom=0.6)
    document = tagged(name="fox", boundingBox={"queryRectangle": corners(-0.0038, 0.5, 1.002, 1)})
    box = read(document, crop)["tags"][0]["box"]
    assert [point["x"] for point in box] == pytest.approx([0.5, 1.0, 1.0, 0.5])
    assert [point["y"] for point in box] == pytest.approx([0.4, 0.4, 0.6, 0.6])


def test_edges_are_a_box_too(read: Read) -> None:
    """Some answers give left, top, right and bottom in place of four corners; a crop is undone alike."""
    edges = {"left": 0.0, "top": 0.5, "right": 1.0, "bottom": 1.0}
    document = tagged(name="fox", boundingBox={"queryRectangle": edges})
    plain = read(document)["tags"][0]["box"]
    assert [(point["x"], point["y"]) for point in plain] == [(0, 0.5), (1, 0.5), (1, 1), (0, 1)]
    crop = Crop(left=0.5, top=0.2, right=1.0, bottom=0.6)
    assert read(document, crop) == read(tagged(name="fox", boundingBox={"queryRectangle": corners(0, 0.5, 1, 1)}), crop)


def test_regions_of_details_are_not_mapped(read: Read) -> None:
    """A region of /images/details is relative to the whole picture, even with a crop (Image Insights guide)."""
    crop = Crop(left=0.5, top=0, right=1, bottom=1)
    entity = read("recognized_entities", crop)["entities"][0]
    assert entity["box"][0] == {"x": 0.5066667, "y": 0.1955556}
    assert (entity["group"], entity["confidence"], entity["types"]) == (
        "CelebRecognitionAnnotations",
        0.9961388,
        ["Person"],
    )


@pytest.mark.parametrize("broken", [{}, {"topLeft": 1}, corners(0, 0, 1, 1) | {"topLeft": {"x": "0", "y": 0}}])
def test_an_invalid_box_is_kept_unchanged(broken: Any, read: Read) -> None:
    """What can't be read as a box is kept in `other` with its path."""
    insights = read(tagged(name="fox", boundingBox={"queryRectangle": broken}))
    assert "box" not in insights["tags"][0]
    assert insights["other"] == [{"where": "tags[0].boundingBox.queryRectangle", "value": broken}]


def test_attributions_stay_bound(read: Read) -> None:
    """An entity's licences name the property that they govern; other licences name a part of the response."""
    insights = read("knowledge")
    licence, link = insights["entities"][0]["attributions"]
    assert (licence["rule"], licence["target"], licence["license"]) == ("LicenseAttribution", "description", "CC-BY-SA")
    assert (link["text"], link["must_be_close"]) == ("Encyclopaedia", True)
    assert [attribution.get("about") for attribution in insights["attributions"]] == [
        None,
        "tags[0].actions[0].data.value[1]",
    ]


def test_results_of_a_region_stay_with_its_tag(read: Read) -> None:
    """Similar images and offers of one thing in the picture are not mixed with those of the whole picture."""
    insights = read("knowledge")
    results = [action["results"] for action in insights["tags"][0]["actions"] if "results" in action]
    assert [len(result["images"]) for result in results] == [1, 0, 0, 0]
    assert results[0]["next_offset"] == 50
    assert (len(results[1]["offers"]), len(results[2]["queries"]), len(results[3]["recipes"])) == (1, 1, 1)
    assert len(insights["similar_images"]["items"]) == 1


def test_unknown_actions_pass_through(read: Read) -> None:
    """An action of an undocumented type keeps all its keys in `extra`."""
    actions = read("knowledge")["actions"]
    assert [action["type"] for action in actions] == ["TopicResults", "PostalAddress", "Travel"]
    assert actions[1]["extra"] == {"address": {"street": "Pier Road", "number": 1}}
    assert actions[2]["extra"] == {"data": {"value": [{"city": "Harbourtown"}]}}


def test_an_action_without_data_has_no_results(read: Read) -> None:
    """An action may come without its data: it has no results, and nothing is left over."""
    insights = read(tagged({"_type": "ImageModuleAction", "actionType": "PagesIncluding"}))
    assert (insights["pages"], insights["actions"], insights["other"]) == ([], [], [])


def test_null_means_absent(read: Read) -> None:
    """A null is read as an absent value, and not kept."""
    insights = read(tagged({"actionType": "ImageById", "image": {"name": None, "width": 3}}))
    assert insights["image"] == {"width": 3, "origin": "web"}
    assert insights["other"] == []


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("2017-09-20T12:00:00.0000000Z", "2017-09-20T12:00:00Z"),
        ("2018-04-02T22:50:00Z", "2018-04-02T22:50:00Z"),
        ("2018-04-02T22:50:00", "2018-04-02T22:50:00Z"),
        ("2018-04-02T22:50:00.1234567Z", "2018-04-02T22:50:00.1234567Z"),
    ],
)
def test_dates(written: str, read_as: str, read: Read) -> None:
    """The three formats of datePublished become one."""
    insights = read(tagged({"actionType": "ImageById", "image": {"datePublished": written}}))
    assert insights["image"]["published"] == read_as


@pytest.mark.parametrize(
    ("action", "data", "field"),
    [
        ("VisualSearch", {"value": [{"datePublished": "some day"}]}, "published"),
        ("VisualSearch", {"value": [{"datePublished": "2026-02-30T00:00:00"}]}, "published"),
        ("ShoppingSources", {"offers": [{"lastUpdated": "16.4.2018"}]}, "updated"),
        ("ShoppingSources", {"offers": [{"availability": "in stock"}]}, "availability"),
        ("Recipes", {"value": [{"cookTime": "45 minutes"}]}, "cook_time"),
    ],
)
def test_what_has_not_its_documented_form_is_kept_as_it_is(
    action: str, data: dict[str, Any], field: str, read: Read
) -> None:
    """A field of the record holds its type; anything else is found in `other`, with its place in the answer."""
    insights = read(tagged({"actionType": action, "data": data}))
    ((name, items),) = data.items()
    ((key, value),) = items[0].items()
    assert insights["other"] == [{"where": f"tags[0].actions[0].data.{name}[0].{key}", "value": value}]
    assert f"'{field}'" not in repr(insights)


@pytest.mark.parametrize(
    ("key", "value"), [("ratingValue", 8.0), ("ratingValue", 0.0), ("bestRating", 10), ("bestRating", 0.5)]
)
def test_ratings_outside_the_scale_are_kept_as_they_are(key: str, value: float, read: Read) -> None:
    """A rating is 1.0 to 5.0; any other number is found in `other`, and the number beside it is read."""
    beside, name = ("bestRating", "best") if key == "ratingValue" else ("ratingValue", "value")
    offers = [{"aggregateRating": {key: value, beside: 5}}]
    insights = read(tagged({"actionType": "ShoppingSources", "data": {"offers": offers}}))
    where = f"tags[0].actions[0].data.offers[0].aggregateRating.{key}"
    assert insights["other"] == [{"where": where, "value": value}]
    assert f"'rating': {{'{name}': 5.0}}" in repr(insights)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("contentSize", "12 KB"),
        ("contentSize", "B"),
        ("contentSize", "9" * 30 + " B"),
        ("contentSize", "\u00b2 B"),
        ("contentSize", 12),
        ("accentColor", "red"),
        ("accentColor", "12345G"),
        ("width", "12"),
        ("width", 1.5),
        ("width", True),
        ("datePublished", 2017),
        ("hostPageUrl", 7),
        ("thumbnail", "https://a.example/"),
    ],
)
def test_a_value_of_another_type_is_kept_unchanged(key: str, value: Any, read: Read) -> None:
    """A value that can't be read is kept in `other` with its path; the rest of the object is read."""
    insights = read(tagged({"actionType": "ImageById", "image": {"name": "fox", key: value}}))
    assert insights["image"] == {"name": "fox", "origin": "web"}
    assert insights["other"] == [{"where": f"tags[0].actions[0].image.{key}", "value": value}]


def test_origins(read: Read) -> None:
    """Each item has an origin: the web, or the user's own catalogue; the origin of text is the pixels."""
    web, catalogue = read("knowledge"), read("knowledge", provider="local")
    assert {item["origin"] for item in (*web["pages"], *web["offers"], *web["tags"])} == {"web"}
    assert {item["origin"] for item in (*catalogue["pages"], *catalogue["offers"], *catalogue["tags"])} == {"catalogue"}
    assert web["text"]["origin"] == catalogue["uris"][0]["origin"] == "pixels"


def test_market_of_the_response(read: Read) -> None:
    """The record has the market that the service used, which may differ from the request's."""
    assert read("insights", bingapis_market="en-GB")["market"] == "en-GB"
    assert "market" not in read("insights")


def test_accent_color_is_the_pictures_own(read: Read) -> None:
    """The accent colour of the picture is a field of the record too."""
    assert read("knowledge")["accent_color"] == read("knowledge")["image"]["accent_color"] == "#796352"


def test_colors_of_the_embedded_service(read: Read) -> None:
    """The picture's main colours come with their shares; an invalid colour is kept unchanged."""
    colors = [{"hex": "F3EFE9", "share": 0.591}, {"hex": "none"}]
    insights = read({"_type": "ImageKnowledge", "tags": [], "dominantColors": colors})
    assert insights["dominant_colors"] == [{"hex": "#f3efe9", "share": 0.591}]
    assert insights["other"] == [{"where": "dominantColors[1].hex", "value": "none"}]


def test_a_picture_outside_the_catalogue_is_not_an_image(read: Read) -> None:
    """The embedded service knows only the colour of such a picture; size and format repeat what was sent."""
    sent = {"name": "", "width": 300, "height": 200, "accentColor": "8C3A2B"}
    document = tagged({"actionType": "ImageById", "image": sent})
    insights = read(document, provider="local")
    assert ("image" in insights, insights["accent_color"]) == (False, "#8c3a2b")
    assert read(document)["image"]["width"] == 300
    known = tagged({"actionType": "ImageById", "image": {**sent, "imageId": "sku-1"}})
    assert read(known, provider="local")["image"]["image_id"] == "sku-1"


def test_names_what_is_unavailable(read: Read) -> None:
    """Insights that the service can't have, or that need a parameter which is missing, are listed as unavailable."""
    unavailable = [{"kind": "related_searches", "reason": "none were made here"}]
    document = {"unavailable": unavailable, "imageTags": {"value": []}}
    assert read(document, target="/images/details?modules=All")["unavailable"] == unavailable
    target = "/images/details?modules=Tags,RelatedSearches"
    assert [item["kind"] for item in read("insights", target=target)["unavailable"]] == ["related_searches"]
    assert read("insights", target=f"{target}&q=fox")["unavailable"] == []


def test_shapes_stay_bounded(read: Read) -> None:
    """Responses with ever new keys are read like any other, and the number of remembered key sets is limited."""
    images = [{f"key{number}": number, "name": str(number)} for number in range(600)]
    insights = read(tagged({"actionType": "PagesIncluding", "data": {"value": images}}))
    assert [page["name"] for page in insights["pages"]] == [str(number) for number in range(600)]
    assert len(insights["other"]) == 600


def test_an_aggregate_offer_for_each_currency(read: Read) -> None:
    """If offers have several currencies, the record has a summary of each, and no lowest price of all."""
    sums = [
        {"_type": "AggregateOffer", "priceCurrency": "USD", "lowPrice": 10, "offerCount": 2},
        {"_type": "AggregateOffer", "priceCurrency": "EUR", "lowPrice": 11, "offerCount": 1},
    ]
    metadata = {"aggregateOffer": {"offerCount": 3, "offers": sums}}
    insights = read(tagged({"actionType": "ImageById", "image": {"insightsMetadata": metadata}}))
    assert insights["other"] == []
    assert insights["image"]["offer"] == {
        "count": 3,
        "offers": [
            {"currency": "USD", "low_price": 10, "count": 2, "origin": "web"},
            {"currency": "EUR", "low_price": 11, "count": 1, "origin": "web"},
        ],
        "origin": "web",
    }
