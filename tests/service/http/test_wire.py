"""Requests become values, or are refused with the code, parameter and reason of the rule they break."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.service.http.details import ALL, MODULES, read_details
from pipeline.service.http.imagesearch import Bounds, read_search
from pipeline.service.http.visualsearch import VisualSearch, read_visual_search
from pipeline.service.http.wire import ByToken, ByUrl, Page, Upload
from pipeline.service.refusals import Refused

FORM = "multipart/form-data; boundary=frontier"
URL = {"imageInfo": {"url": "https://contoso.example/red.jpg"}}
TOKEN = {"imageInfo": {"imageInsightsToken": "ccid_a/b+c!d"}}


@pytest.fixture
def read(write_form: Callable[..., bytes]) -> Callable[..., VisualSearch]:
    """Return a function that reads a knowledgeRequest and a picture."""
    return lambda knowledge=None, picture=None: read_visual_search(FORM, write_form(knowledge, picture))


Read = Callable[..., VisualSearch]


def test_a_picture_by_url_token_or_upload(read: Read) -> None:
    """The three ways of naming a picture (reference 000)."""
    assert read(URL).source == ByUrl(url="https://contoso.example/red.jpg")
    assert read(TOKEN).source == ByToken(token="ccid_a/b+c!d")
    assert read(None, b"JPEG").source == Upload(data=b"JPEG")
    assert read({"imageInfo": {}}, b"\r\n\r\nJPEG").source == Upload(data=b"JPEG")


@pytest.mark.parametrize(
    "knowledge",
    [
        {"ImageInfo": {"Url": "https://contoso.example/red.jpg", "CropArea": None}, "KnowledgeRequest": None},
        {"imageInfo": {"url": "https://contoso.example/red.jpg", "imageInsightsToken": ""}},
        {"imageInfo": {"url": "https://contoso.example/red.jpg", "imageInsightsToken": None, "unknown": 1}},
        '\ufeff{"imageInfo": {"url": "https://contoso.example/red.jpg"}}\r\n',
    ],
    ids=["pascal-case", "empty-token", "nulls", "byte-order-mark"],
)
def test_json_in_every_dress(read: Read, knowledge: object) -> None:
    """Keys in any case, nulls, empty strings and a byte order mark mean what they mean to the real service."""
    assert read(knowledge) == read(URL)


def test_crop_site_and_page(read: Read) -> None:
    """The whole of knowledgeRequest is understood; numbers may be strings."""
    area = {"top": 0.1, "left": "0.5", "right": 0.9, "bottom": 1}
    more = {"filters": {"site": "WWW.Contoso.example"}, "invokedSkills": ["SimilarImages"], "offset": "35", "count": 10}
    asked = read({"imageInfo": {**TOKEN["imageInfo"], "cropArea": area}, "knowledgeRequest": more})
    assert asked.crop == (0.5, 0.1, 0.9, 1.0)
    assert (asked.site, asked.skill, asked.page) == ("www.contoso.example", "SimilarImages", Page(offset=35, count=10))


def test_the_empty_template_of_the_reference_asks_for_nothing_special(read: Read) -> None:
    """Empty strings, [""] and zeros are the reference's own skeleton."""
    template = {"filters": {"site": ""}, "invokedSkills": [""], "offset": 0, "count": 0}
    assert read({**URL, "knowledgeRequest": template}) == read(URL)


@pytest.mark.parametrize("flag", [True, False, "true", "False", ""], ids=repr)
def test_entity_data_is_a_boolean_or_a_string(read: Read, flag: object) -> None:
    """Real clients send both."""
    assert read({**URL, "knowledgeRequest": {"invokedSkillsRequestData": {"enableEntityData": flag}}}) == read(URL)


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "no-such-charset"])
def test_a_part_says_how_its_text_is_encoded(charset: str) -> None:
    """The charset of the part counts; one that nobody knows is read as UTF-8."""
    codec = "utf-8" if charset == "no-such-charset" else charset
    head = f"--frontier\r\nContent-Type: text/plain; charset={charset}\r\n"
    body = (
        f"{head}Content-Disposition: form-data; name=knowledgeRequest\r\n\r\n".encode()
        + json.dumps(URL).encode(codec)
        + b"\r\n--frontier--"
    )
    assert read_visual_search(FORM, body).source == ByUrl(url="https://contoso.example/red.jpg")


def _with(**members: Any) -> dict[str, Any]:
    return {**URL, "knowledgeRequest": members}


def _crop(**edges: Any) -> dict[str, Any]:
    return {"imageInfo": {**URL["imageInfo"], "cropArea": edges}}


@pytest.mark.parametrize(
    ("knowledge", "picture", "sub_code", "parameter"),
    [
        ({"imageInfo": {**URL["imageInfo"], **TOKEN["imageInfo"]}}, None, "ParameterInvalidValue", "imageInfo"),
        (URL, b"JPEG", "ParameterInvalidValue", "imageInfo"),
        ({"imageInfo": {}}, None, "ParameterMissing", "image"),
        (None, None, "ParameterMissing", "image"),
        (None, b"\r\n", "ParameterMissing", "image"),
        ("{", None, "ParameterInvalidValue", "knowledgeRequest"),
        ("[]", None, "ParameterInvalidValue", "knowledgeRequest"),
        ("[" * 900 + "]" * 900, None, "ParameterInvalidValue", "knowledgeRequest"),
        ({"imageInfo": "x"}, None, "ParameterInvalidValue", "imageInfo"),
        ({"imageInfo": {"url": 5}}, None, "ParameterInvalidValue", "url"),
        ({"imageInfo": {"url": "ftp://contoso.example/x"}}, None, "ParameterInvalidValue", "url"),
        (_crop(left=0.1, top=0.1, right=0.9), None, "ParameterMissing", "cropArea.bottom"),
        (_crop(left=0.9, top=0.1, right=0.1, bottom=0.9), None, "ParameterInvalidValue", "cropArea.right"),
        (_crop(left=0.1, top=0.9, right=0.9, bottom=0.9), None, "ParameterInvalidValue", "cropArea.bottom"),
        (_crop(left=-0.1, top=0.1, right=0.9, bottom=0.9), None, "ParameterInvalidValue", "cropArea.left"),
        (_crop(left=0.1, top=0.1, right=1.1, bottom=0.9), None, "ParameterInvalidValue", "cropArea.right"),
        (_crop(left=0.1, top="x", right=0.9, bottom=0.9), None, "ParameterInvalidValue", "cropArea.top"),
        (_crop(left=0.1, top=True, right=0.9, bottom=0.9), None, "ParameterInvalidValue", "cropArea.top"),
        (_with(invokedSkills=["SimilarImages", "SimilarProducts"]), None, "ParameterInvalidValue", "invokedSkills"),
        (_with(invokedSkills=["Entities"]), None, "ParameterInvalidValue", "invokedSkills"),
        (_with(invokedSkills="SimilarImages"), None, "ParameterInvalidValue", "invokedSkills"),
        (_with(offset=-1), None, "ParameterInvalidValue", "offset"),
        (_with(count=1.5), None, "ParameterInvalidValue", "count"),
        (_with(filters={"site": "https://contoso.example/x"}), None, "ParameterInvalidValue", "site"),
        (_with(invokedSkillsRequestData={"enableEntityData": 7}), None, "ParameterInvalidValue", "enableEntityData"),
    ],
    ids=[
        "url-and-token",
        "url-and-upload",
        "nothing",
        "no-parts",
        "empty-picture",
        "bad-json",
        "no-object",
        "deep-json",
        "text-for-object",
        "number-for-text",
        "other-scheme",
        "edge-missing",
        "right-of-left",
        "flat",
        "below-zero",
        "above-one",
        "no-number",
        "boolean-edge",
        "both-skills",
        "unknown-skill",
        "skill-no-list",
        "offset",
        "count",
        "site-is-url",
        "entity-data",
    ],
)
def test_every_rule_of_visual_search(
    read: Read, knowledge: object, picture: bytes | None, sub_code: str, parameter: str
) -> None:
    """A broken rule is answered with 400, its sub-code and the parameter at fault."""
    with pytest.raises(Refused) as caught:
        read(knowledge, picture)
    refusal = caught.value.refusal
    assert (refusal.status, refusal.code) == (400, "InvalidRequest")
    assert (refusal.sub_code, refusal.parameter) == (sub_code, parameter)


def test_a_wrong_part_is_named(read: Read) -> None:
    """A form without a known part is refused, and told which parts it has."""
    body = b"--frontier\r\nContent-Disposition: form-data; name=picture\r\n\r\nx\r\n--frontier--"
    with pytest.raises(Refused) as caught:
        read_visual_search(FORM, body)
    assert caught.value.refusal.more_details is not None
    assert caught.value.refusal.more_details.endswith("parts: picture")


def test_a_part_given_twice_is_refused() -> None:
    """Two pictures in one request would leave open which was meant."""
    part = b"--frontier\r\nContent-Disposition: form-data; name=image\r\n\r\nx\r\n"
    with pytest.raises(Refused, match="invalid value"):
        read_visual_search(FORM, part * 2 + b"--frontier--")


def test_details_by_token_url_or_body(write_form: Callable[..., bytes]) -> None:
    """A GET names the picture; a POST brings it as a part of any name, or bare (references 001 and 004)."""
    assert read_details({"insightsToken": "t"}, "", b"").source == ByToken(token="t")
    assert read_details({"imgUrl": "https://x.example/a"}, "", b"").source == ByUrl(url="https://x.example/a")
    assert read_details({}, FORM, write_form(None, b"PNG")).source == Upload(data=b"PNG")
    odd = b"--frontier\r\nContent-Disposition: form-data; name=binary\r\n\r\nPNG\r\n--frontier--"
    assert read_details({}, FORM, odd).source == Upload(data=b"PNG")
    assert read_details({}, "multipart/form-data", b"PNG").source == Upload(data=b"PNG")


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        (None, ALL),
        ("All", ALL),
        ("all,Caption", ALL),
        ("caption, COLLECTION", frozenset({"Caption", "Collections"})),
        ("RecognizedEntities", frozenset({"RecognizedEntities"})),
        ("RecognizedEntities,Tags", frozenset({"Tags"})),
        (",".join(MODULES), ALL),
    ],
    ids=["none", "all", "all-and-one", "any-case", "entities-alone", "entities-with-others", "each"],
)
def test_modules_in_any_case(text: str | None, modules: frozenset[str]) -> None:
    """RecognizedEntities counts only alone; All is all the others (reference 004, modules)."""
    query = {"insightsToken": "t"} | ({"modules": text} if text else {})
    assert read_details(query, "", b"").modules == modules


def test_crop_parameters_of_details() -> None:
    """Edges left out are those of the picture; both spellings of the crop type are taken."""
    query = {"insightsToken": "t", "cal": "0.5", "cab": "0.75", "ct": "Rectangular"}
    assert read_details(query, "", b"").crop == (0.5, 0.0, 1.0, 0.75)
    assert read_details({"insightsToken": "t", "cal": "0", "ct": "0"}, "", b"").crop is None


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({}, "insightsToken"),
        ({"insightsToken": "t", "imgUrl": "https://x.example/a"}, "imgUrl"),
        ({"insightsToken": "t", "modules": "Weather"}, "modules"),
        ({"insightsToken": "t", "ct": "1"}, "ct"),
        ({"insightsToken": "t", "cal": "0.9", "car": "0.1"}, "car"),
        ({"insightsToken": "t", "cat": "2"}, "cat"),
        ({"insightsToken": "t", "count": "3"}, "count"),
    ],
    ids=["nothing", "both", "module", "crop-type", "crop-order", "crop-range", "search-only"],
)
def test_every_rule_of_details(query: dict[str, str], parameter: str) -> None:
    """A broken rule is answered with 400 and the parameter at fault."""
    with pytest.raises(Refused) as caught:
        read_details(query, "", b"")
    assert (caught.value.refusal.status, caught.value.refusal.parameter) == (400, parameter)


def test_a_search_with_every_filter_that_can_be_decided() -> None:
    """Numbers become bounds, All becomes nothing, and site: leaves the words."""
    asked = read_search(
        {
            "q": "blue mug site:Shop.example",
            "width": "300",
            "minHeight": "100",
            "maxFileSize": "9000000",
            "size": "large",
            "aspect": "All",
            "color": "blue",
            "imageType": "Shopping",
            "freshness": "2026-01-01..2026-06-30",
            "count": "10",
            "offset": "20",
        }
    )
    filters = asked.filters
    assert (asked.words, filters.site, asked.page) == ("blue mug", "shop.example", Page(offset=20, count=10))
    assert (filters.width, filters.height) == (Bounds(low=300, high=300), Bounds(low=100))
    assert filters.bytes == Bounds(high=520_192)
    assert (filters.size, filters.aspect, filters.color, filters.priced) == ("Large", None, "Blue", True)
    assert (str(filters.since), str(filters.until)) == ("2026-01-01", "2026-06-30")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({}, "q"),
        ({"q": " "}, "q"),
        ({"q": "x", "count": "151"}, "count"),
        ({"q": "x", "count": "0"}, "count"),
        ({"q": "x", "offset": "-1"}, "offset"),
        ({"q": "x", "size": "Huge"}, "size"),
        ({"q": "x", "height": "1", "minHeight": "1"}, "minHeight"),
        ({"q": "x", "width": "1", "maxWidth": "1"}, "maxWidth"),
        ({"q": "x", "freshness": "Decade"}, "freshness"),
        ({"q": "x", "freshness": "2026-02-01..2026-01-01"}, "freshness"),
        ({"q": "x", "insightsToken": "t"}, "insightsToken"),
        ({"q": "x", "imageContent": "Face"}, "imageContent"),
        ({"q": "x", "license": "Public"}, "license"),
        ({"q": "x", "imageType": "Clipart"}, "imageType"),
        ({"q": "x", "size": "Wallpaper"}, "size"),
    ],
    ids=[
        "no-q",
        "empty-q",
        "count-high",
        "count-low",
        "offset",
        "size",
        "height-twice",
        "width-twice",
        "freshness",
        "freshness-order",
        "details-only",
        "face",
        "license",
        "clipart",
        "wallpaper",
    ],
)
def test_every_rule_of_search(query: dict[str, str], parameter: str) -> None:
    """Wrong filters are refused, and so are those that can't be decided honestly: none is ignored."""
    with pytest.raises(Refused) as caught:
        read_search(query)
    refusal = caught.value.refusal
    assert (refusal.status, refusal.parameter) == (400, parameter)
