"""What an answer says, field by field: the traps of proto3 JSON, of the web and of turned text among it."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.records import Problem, Reading
from pipeline.schema import Insights
from pipeline.sink.output_lines import says_something
from tests.providers.google.conftest import answer_of, google, sent
from tests.providers.google.vision_answers import polygon

OFFERS = {
    "kind": "offers",
    "reason": "the service knows no offers; the feature products looks into your own product set",
}


def read(response: dict[str, Any], size: tuple[int, int] | None = (200, 100), **settings: object) -> Insights:
    outcome = google(**settings).read(sent(size), answer_of({"responses": [response]}))
    assert isinstance(outcome, Reading), outcome
    return outcome.insights


def other(insights: Insights) -> dict[str, Any]:
    return {item["where"]: item["value"] for item in insights["other"]}


def box(*points: tuple[float, float]) -> list[dict[str, float]]:
    return [{"x": x, "y": y} for x, y in points]


def test_an_empty_response_is_an_answer() -> None:
    """Nothing was found: that is no failure."""
    insights = read({})
    assert not insights["tags"]
    assert not insights["other"]
    assert insights["unavailable"] == [OFFERS]
    assert not says_something(insights)  # the record's status is "empty"


def test_labels_and_objects_become_tags() -> None:
    """Objects have boxes, in fractions; a label has none. Ids and topicality are kept, in the order of the tags."""
    insights = read(
        {
            "labelAnnotations": [
                {"mid": "/m/1", "description": "Mug", "score": 0.9, "topicality": 0.8},
                {"description": "Cup", "score": 0.7, "topicality": 0.6},
            ],
            "localizedObjectAnnotations": [
                {"mid": "/m/1", "name": "Mug", "score": 0.5,
                 "boundingPoly": {"normalizedVertices": [{}, {"x": 0.5}, {"x": 0.5, "y": 1}, {"y": 1}]}},
            ],
        }
    )  # fmt: skip
    shared = {"actions": [], "origin": "pixels"}
    corners = box((0, 0), (0.5, 0), (0.5, 1), (0, 1))
    assert insights["tags"] == [
        {"name": "Mug", "confidence": 0.5, "box": corners, "sources": ["object"], **shared},
        {"name": "Mug", "confidence": 0.9, "sources": ["label"], **shared},
        {"name": "Cup", "confidence": 0.7, "sources": ["label"], **shared},
    ]
    assert other(insights) == {
        "localizedObjectAnnotations[].mid": ["/m/1"],
        "labelAnnotations[].mid": ["/m/1", None],
        "labelAnnotations[].topicality": [0.8, 0.6],
    }


def test_corners_in_pixels_are_fractions_of_what_was_sent() -> None:
    """A corner without x or y is at the edge; what goes beyond the picture is moved to its edge."""
    vertices = [{}, {"x": 50}, {"x": 250, "y": 120}, {"y": 25}]
    insights = read({"logoAnnotations": [{"description": "Acme", "boundingPoly": {"vertices": vertices}}]})
    assert insights["entities"][0]["box"] == box((0, 0), (0.25, 0), (1, 1), (0, 0.25))


def test_a_polygon_of_other_than_four_corners_is_the_rectangle_around_it() -> None:
    """A box of the record always has four."""
    vertices = [{"x": 20, "y": 10}, {"x": 60, "y": 30}, {"x": 40, "y": 50}]
    insights = read({"logoAnnotations": [{"boundingPoly": {"vertices": vertices}}]})
    assert insights["entities"][0]["box"] == box((0.1, 0.1), (0.3, 0.1), (0.3, 0.5), (0.1, 0.5))


def test_pixels_without_a_known_size_are_kept_and_not_guessed() -> None:
    """Of a picture that went as a URL; the size of the text's page is as good, where there is text."""
    logo = {"description": "Acme", "boundingPoly": polygon(20, 10, 40, 20)}
    insights = read({"logoAnnotations": [logo]}, None)
    assert "box" not in insights["entities"][0]
    assert other(insights) == {"logoAnnotations[].boundingPoly": [logo["boundingPoly"]]}
    page = {"width": 200, "height": 100}
    known = read({"logoAnnotations": [logo], "fullTextAnnotation": {"pages": [page]}}, None)
    assert known["entities"][0]["box"] == box((0.1, 0.1), (0.3, 0.1), (0.3, 0.3), (0.1, 0.3))


def test_a_page_with_its_sides_swapped_gives_no_boxes() -> None:
    """The service would have turned the picture: its corners lie on other things."""
    text = {"pages": [{"width": 100, "height": 200, "blocks": [block(word("a", polygon(1, 2, 3, 4)))]}], "text": "a"}
    insights = read({"fullTextAnnotation": text, "logoAnnotations": [{"boundingPoly": polygon(1, 2, 3, 4)}]})
    assert "box" not in insights["entities"][0]
    assert "box" not in insights["text"]["regions"][0]["lines"][0]["words"][0]
    assert insights["text"]["full"] == "a"
    assert insights["unavailable"][0] == {
        "kind": "text",
        "reason": "boxes of text: the service read the picture with its sides swapped",
    }


def test_a_page_that_was_scaled_is_as_good_as_the_picture() -> None:
    """Its own size is what its corners refer to."""
    text = {"pages": [{"width": 400, "height": 200, "blocks": [block(word("a", polygon(100, 50, 100, 50)))]}]}
    insights = read({"fullTextAnnotation": text})
    assert insights["text"]["regions"][0]["lines"][0]["box"] == box((0.25, 0.25), (0.5, 0.25), (0.5, 0.5), (0.25, 0.5))


def test_landmarks_say_where_on_earth_they_are() -> None:
    """The first place is that of what is shown; a zero is left out, and the camera's place is kept."""
    places = [{"latLng": {"longitude": 2.29}}, {"latLng": {"latitude": 1.5, "longitude": 2.5}}]
    (entity,) = (insights := read({"landmarkAnnotations": [{"description": "Tower", "locations": places}]}))["entities"]
    assert entity["geo"] == {"lat": 0.0, "long": 2.29}
    assert entity["types"] == ["Landmark"]
    assert other(insights) == {"landmarkAnnotations[].locations": [[places[1]]]}


@pytest.mark.parametrize(
    ("said", "safety", "is_friendly"),
    [
        ({"adult": "VERY_UNLIKELY", "racy": "POSSIBLE"}, {"adult": 0.0, "racy": 0.5}, True),
        ({"adult": "LIKELY", "racy": "VERY_UNLIKELY"}, {"adult": 0.75, "racy": 0.0}, False),
        ({"adult": 1, "racy": 5, "spoof": 2}, {"adult": 0.0, "racy": 1.0, "spoof": 0.25}, False),
        ({"adult": "UNLIKELY"}, {"adult": 0.25}, True),  # old answers have no racy
        ({"violence": "LIKELY", "adult": "UNKNOWN"}, {"violence": 0.75}, None),
        ({}, {}, None),
    ],
    ids=["friendly", "adult", "numbers", "without racy", "unknown", "nothing"],
)
def test_likelihoods_become_shares(said: dict[str, Any], safety: dict[str, float], *, is_friendly: bool | None) -> None:
    """An unknown one is left out, and says nothing about the family."""
    insights = read({"safeSearchAnnotation": said, "labelAnnotations": []})
    assert insights.get("safety", {}) == ({**safety, "origin": "pixels"} if safety else {})
    assert insights.get("image", {}).get("family_friendly") is is_friendly


def test_colours_come_by_area_and_the_accent_by_score() -> None:
    """Channels of zero are left out; the service's order is none."""
    colours = [
        {"color": {"blue": 255.0}, "score": 0.8, "pixelFraction": 0.1},
        {"color": {"red": 18, "green": 52, "blue": 86}, "score": 0.1, "pixelFraction": 0.5},
        {"color": {}, "score": 0.05},
    ]
    insights = read({"imagePropertiesAnnotation": {"dominantColors": {"colors": colours}}})
    assert insights["accent_color"] == "#0000ff"
    assert insights["dominant_colors"] == [
        {"hex": "#123456", "share": 0.5},
        {"hex": "#0000ff", "share": 0.1},
        {"hex": "#000000"},
    ]
    assert other(insights) == {"imagePropertiesAnnotation.dominantColors.colors[].score": [0.1, 0.8, 0.05]}


def test_faces_are_named_by_nobody() -> None:
    """A box and how sure it is; angles and likelihoods are kept."""
    face = {"boundingPoly": polygon(20, 10, 40, 20), "detectionConfidence": 0.5, "rollAngle": -1.5}
    (entity,) = (insights := read({"faceAnnotations": [face]}))["entities"]
    assert (entity["types"], entity["confidence"], "name" in entity) == (["Face"], 0.5, False)
    assert other(insights) == {"faceAnnotations[].rollAngle": [-1.5]}


def test_pages_without_the_picture_come_last_and_unmatched() -> None:
    """They are about what is shown; titles are free of markup and escapes."""
    pages = [
        {"url": "https://a/about", "pageTitle": "About <b>mugs</b>"},
        {
            "url": "https://a/1",
            "pageTitle": "Tom&#39;s <b>mug</b>\n &amp; 1 < 2",
            "partialMatchingImages": [{"url": "https://a/p.jpg"}],
            "fullMatchingImages": [{"url": "https://a/f.jpg", "score": 2}, {"url": "https://a/g.jpg"}],
        },
        {"url": "https://a/2", "partialMatchingImages": [{"url": "https://a/q.jpg"}]},
    ]
    insights = read({"webDetection": {"pagesWithMatchingImages": pages}})
    assert insights["pages"] == [
        {
            "host_page_url": "https://a/1",
            "name": "Tom's mug & 1 < 2",
            "content_url": "https://a/f.jpg",
            "match": "full",
            "origin": "web",
        },
        {"host_page_url": "https://a/2", "content_url": "https://a/q.jpg", "match": "partial", "origin": "web"},
        {"host_page_url": "https://a/about", "name": "About mugs", "origin": "web"},
    ]
    where = "webDetection.pagesWithMatchingImages[]"
    assert other(insights) == {
        f"{where}.partialMatchingImages": [[{"url": "https://a/p.jpg"}], None, None],
        f"{where}.fullMatchingImages": [[{"score": 2}, {"url": "https://a/g.jpg"}], None, None],
    }


def test_scores_of_the_web_are_no_confidence() -> None:
    """They have no upper end; an entity may lack its name."""
    entities = [{"entityId": "/m/1", "score": 1470.4, "description": "Mug"}, {"entityId": "/m/2", "score": 0.5}]
    insights = read({"webDetection": {"webEntities": entities}})
    shared: dict[str, Any] = {"types": [], "attributions": [], "origin": "web"}
    assert insights["entities"] == [{"id": "/m/1", "name": "Mug", **shared}, {"id": "/m/2", **shared}]
    assert other(insights) == {"webDetection.webEntities[].score": [1470.4, 0.5]}


def test_copies_crops_and_look_alikes_go_where_they_belong() -> None:
    """Copies are sizes of the picture; crops come before what is only alike."""
    insights = read(
        {
            "webDetection": {
                "fullMatchingImages": [{"url": "https://a/1.jpg"}],
                "visuallySimilarImages": [{"url": "https://a/3.jpg"}],
                "partialMatchingImages": [{"url": "https://a/2.jpg"}],
                "bestGuessLabels": [{"label": "mug", "languageCode": "en"}, {"label": "cup"}],
            }
        }
    )
    assert insights["sizes"] == [{"content_url": "https://a/1.jpg", "match": "full", "origin": "web"}]
    assert insights["similar_images"]["items"] == [
        {"content_url": "https://a/2.jpg", "match": "partial", "origin": "web"},
        {"content_url": "https://a/3.jpg", "match": "similar", "origin": "web"},
    ]
    assert insights["best_query"] == {"text": "mug", "origin": "web"}
    assert other(insights) == {
        "webDetection.bestGuessLabels[].languageCode": ["en", None],
        "webDetection.bestGuessLabels[].label": [None, "cup"],
    }


def test_products_are_those_of_the_user_s_own_set() -> None:
    """Then offers are not what is missing."""
    result = {"product": {"name": "projects/p/products/1", "displayName": "Mug", "description": "Blue"}, "score": 0.8}
    insights = read(
        {"productSearchResults": {"results": [result], "indexTime": "2026-01-01T00:00:00Z"}},
        features=("products",),
        product_set="projects/p/locations/l/productSets/s",
    )
    item = {"name": "Mug", "image_id": "projects/p/products/1", "match": "similar", "origin": "catalogue"}
    assert insights["similar_products"]["items"] == [item]
    assert insights["unavailable"] == []
    assert other(insights) == {
        "productSearchResults.results[].product": [{"description": "Blue"}],
        "productSearchResults.results[].score": [0.8],
        "productSearchResults": {"indexTime": "2026-01-01T00:00:00Z"},
    }


def word(text: str, polygon: Any = None, cut: Any = "SPACE", **break_: Any) -> dict[str, Any]:
    """Return a word whose last symbol has a break."""
    symbols: list[dict[str, Any]] = [{"text": letter} for letter in text]
    symbols[-1]["property"] = {"detectedBreak": {"type": cut, **break_}}
    return {"symbols": symbols, **({"boundingBox": polygon} if polygon else {})}


def block(*words: dict[str, Any]) -> dict[str, Any]:
    return {"blockType": "TEXT", "paragraphs": [{"words": list(words)}]}


def lines_of(*blocks: dict[str, Any]) -> list[list[str]]:
    """Return the lines of each region."""
    pages = [{"width": 200, "height": 100, "blocks": list(blocks)}]
    insights = read({"fullTextAnnotation": {"pages": pages}})
    return [[line["text"] for line in region["lines"]] for region in insights["text"]["regions"]]


def test_lines_are_cut_where_a_break_ends_them() -> None:
    """By name or by number; words without a break between them belong together."""
    assert lines_of(
        block(word("Hello", cut="UNKNOWN"), word(","), word("big", cut=2), word("world", cut="EOL_SURE_SPACE"),
              word("Zeit"), word("zeug", cut=5), word("end", cut=0)),
        block(word("next", cut="LINE_BREAK")),
    ) == [["Hello, big world", "Zeit zeug", "end"], ["next"]]  # fmt: skip


def test_a_hyphen_at_the_end_of_a_line_is_shown() -> None:
    """It is in the picture, but no symbol of the answer."""
    assert lines_of(block(word("Zeit", cut="HYPHEN"), word("zeug"))) == [["Zeit-", "zeug"]]


def test_a_break_may_come_before_its_symbol() -> None:
    """The field isPrefix says so."""
    assert lines_of(block(word("one", cut="UNKNOWN"), word("two", cut="LINE_BREAK", isPrefix=True))) == [["one", "two"]]


def test_a_paragraph_ends_its_line_in_any_case() -> None:
    """Even where no break says so."""
    two = {"paragraphs": [{"words": [word("one")]}, {"words": [word("two")]}]}
    assert lines_of(two) == [["one", "two"]]


def test_turned_text_stays_in_the_order_of_reading() -> None:
    """Text that reads upwards: its first corner is the lower left of the picture, for words and for their line."""
    up = [{"x": 40, "y": 90}, {"x": 40, "y": 50}, {"x": 60, "y": 50}, {"x": 60, "y": 90}]
    on = [{"x": 40, "y": 45}, {"x": 40, "y": 15}, {"x": 60, "y": 15}, {"x": 60, "y": 45}]
    pages = [{"blocks": [block(word("read", {"vertices": up}), word("me", {"vertices": on}))]}]
    (region,) = read({"fullTextAnnotation": {"pages": pages}})["text"]["regions"]
    (line,) = region["lines"]
    assert line["words"][0]["box"] == box((0.2, 0.9), (0.2, 0.5), (0.3, 0.5), (0.3, 0.9))
    assert line["box"] == box((0.2, 0.9), (0.2, 0.15), (0.3, 0.15), (0.3, 0.9))


def test_the_box_of_a_tilted_line_is_tilted_like_its_words() -> None:
    """It is the least rectangle around them in their direction, not the upright one."""
    first = [{"x": 10, "y": 10}, {"x": 50, "y": 20}, {"x": 48, "y": 28}, {"x": 8, "y": 18}]
    second = [{"x": 60, "y": 22.5}, {"x": 100, "y": 32.5}, {"x": 98, "y": 40.5}, {"x": 58, "y": 30.5}]
    pages = [{"blocks": [block(word("a", {"vertices": first}), word("b", {"vertices": second}))]}]
    (region,) = read({"fullTextAnnotation": {"pages": pages}})["text"]["regions"]
    corners = [(point["x"] * 200, point["y"] * 100) for point in region["lines"][0]["box"]]
    for (x, y), (wanted_x, wanted_y) in zip(corners, ((10, 10), (100, 32.5), (98, 40.5), (8, 18)), strict=True):
        assert abs(x - wanted_x) < 0.2
        assert abs(y - wanted_y) < 0.2


def test_the_whole_text_has_its_box_and_language() -> None:
    """The first text annotation is the whole; the others are the words once more."""
    insights = read(
        {
            "textAnnotations": [
                {"locale": "de", "description": "a b\n", "boundingPoly": polygon(20, 10, 40, 20)},
                {"description": "a", "boundingPoly": polygon(20, 10, 20, 20)},
            ],
            "fullTextAnnotation": {"pages": [{"blocks": [block(word("a"), word("b"))]}], "text": "a b\n"},
        }
    )
    text = insights["text"]
    assert (text["full"], text["sources"], text["origin"]) == ("a b", ["OCR"], "pixels")
    assert text["box"] == box((0.1, 0.1), (0.3, 0.1), (0.3, 0.3), (0.1, 0.3))
    assert other(insights)["textAnnotations[0].locale"] == "de"


def test_words_that_are_nowhere_else_are_kept() -> None:
    """Where the service sends no finer form of the text."""
    words = [{"description": "a b"}, {"description": "a"}, {"description": "b"}]
    insights = read({"textAnnotations": words})
    assert (insights["text"]["full"], insights["text"]["regions"]) == ("a b", [])
    assert other(insights) == {"textAnnotations[1:][].description": ["a", "b"]}


def test_a_block_without_text_is_kept_and_no_region() -> None:
    """A picture or a barcode on the page."""
    barcode = {"blockType": "BARCODE", "boundingBox": polygon(20, 10, 40, 20)}
    insights = read({"fullTextAnnotation": {"pages": [{"blocks": [barcode, block(word("a"))]}]}})
    assert len(insights["text"]["regions"]) == 1
    assert other(insights)["fullTextAnnotation.pages[].blocks[].blockType"] == ["BARCODE", "TEXT"]


def test_what_no_reader_knows_is_kept() -> None:
    """A later feature of the service, and the page of a file."""
    insights = read({"context": {"pageNumber": 2}, "newAnnotation": [1]})
    assert other(insights) == {"context": {"pageNumber": 2}, "newAnnotation": [1]}


def test_crop_hints_are_kept_as_they_are() -> None:
    """Their importance may be more than 1."""
    hints = {"cropHints": [{"boundingPoly": polygon(1, 2, 3, 4), "importanceFraction": 1.22}]}
    assert other(read({"cropHintsAnnotation": hints})) == {"cropHintsAnnotation": hints}


def test_an_error_beside_insights_names_what_is_missing() -> None:
    """What came is right even so, by the discovery document."""
    response = {
        "labelAnnotations": [{"description": "Mug", "score": 0.9}],
        "error": {"code": 13, "message": "Internal error in text."},
    }
    insights = read(response, features=("labels", "text", "web"))
    assert insights["tags"][0]["name"] == "Mug"
    reason = "the service could not look for it, or found nothing: Internal error in text. (code 13)"
    kinds = ["text", "pages", "similar_images", "sizes", "best_query"]
    assert insights["unavailable"] == [*({"kind": kind, "reason": reason} for kind in kinds), OFFERS]


CASES = [
    (3, "Bad image data.", "row", "invalid-argument"),
    (4, "Deadline.", "transient", "deadline-exceeded"),
    (5, "Product set not found.", "misconfigured", "not-found"),
    (7, "Denied.", "misconfigured", "permission-denied"),
    (8, "Quota.", "throttled", "resource-exhausted"),
    (13, "Internal.", "transient", "internal"),
    (14, "Unavailable.", "transient", "unavailable"),
    (16, "Who?", "refused", "unauthenticated"),
    (99, "", "transient", "unknown"),
    (None, "", "transient", "unknown"),
]


@pytest.mark.parametrize(("code", "message", "kind", "name"), CASES, ids=[str(case[0]) for case in CASES])
def test_an_error_in_the_place_of_insights_is_one_of_its_code(code: Any, message: str, kind: str, name: str) -> None:
    """Inside a 200: the row, the key, the settings, or only this moment."""
    outcome = google().read(sent(), answer_of({"responses": [{"error": {"code": code, "message": message}}]}))
    assert isinstance(outcome, Problem)
    assert (outcome.kind, outcome.code, outcome.http_status, outcome.needs_bytes) == (kind, name, 200, False)
    assert outcome.message == (message or "the service gave no reason")
    assert outcome.retry_after == (45.0 if kind == "throttled" else None)  # the next minute begins in 45 s


@pytest.mark.parametrize(
    ("code", "message", "needs_bytes"),
    [
        (14, "We can not access the URL currently. Please download the content and pass it in.", True),
        (7, "Denied", True),
        (13, "Internal", True),
        (3, "We can not access the URL currently.", True),
        (3, "Bad image data.", False),
        (8, "Quota", False),
    ],
)
def test_a_url_that_could_not_be_loaded_is_sent_as_bytes(code: int, message: str, *, needs_bytes: bool) -> None:
    """The service says so itself; other errors would come again."""
    answer = answer_of({"responses": [{"error": {"code": code, "message": message}}]})
    outcome = google(url_form="url").read(sent(None), answer)
    assert isinstance(outcome, Problem)
    assert outcome.needs_bytes is needs_bytes


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"", "transient", "empty-body"),
        (b"<html>", "transient", "not-json"),
        (b'{"responses": [{', "transient", "not-json"),
        (b'{"responses": [}]}', "unreadable", "not-json"),
        (b"[]", "transient", "unexpected-answer"),
        (b'{"responses": []}', "transient", "unexpected-answer"),
        (b'{"responses": ["x"]}', "transient", "unexpected-answer"),
        (b'{"error": {"code": 14, "message": "later"}}', "transient", "unavailable"),
    ],
)
def test_a_body_that_answers_nothing_has_a_name(body: bytes, kind: str, code: str) -> None:
    """With the status 200 all the same."""
    outcome = google().read(sent(), answer_of(body))
    assert isinstance(outcome, Problem)
    assert (outcome.kind, outcome.code) == (kind, code)
