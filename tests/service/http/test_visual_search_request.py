"""Visual Search requests become values, or are refused with the code and parameter of the rule they break."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.service.http.picture_source import ByToken, ByUrl, Upload
from pipeline.service.http.visual_search_request import MAX_JSON_BYTES, VisualSearchRequest, read_visual_search_request
from pipeline.service.refusals import Refused
from pipeline.service.search.query import PageRange

FORM = "multipart/form-data; boundary=frontier"
URL = {"imageInfo": {"url": "https://contoso.example/red.jpg"}}
TOKEN = {"imageInfo": {"imageInsightsToken": "ccid_a/b+c!d"}}


@pytest.fixture
def read(write_form: Callable[..., bytes]) -> Callable[..., VisualSearchRequest]:
    """Return a function that reads a form with a knowledgeRequest and a picture."""
    return lambda knowledge=None, picture=None: read_visual_search_request(FORM, write_form(knowledge, picture))


Read = Callable[..., VisualSearchRequest]


def test_a_picture_by_url_token_or_upload(read: Read) -> None:
    """The three ways of naming a picture (Visual Search guide)."""
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
def test_json_in_every_form(read: Read, knowledge: object) -> None:
    """Keys in any case, nulls, empty strings and a byte order mark are read as by the real service."""
    assert read(knowledge) == read(URL)


def test_crop_site_and_page(read: Read) -> None:
    """All members of knowledgeRequest are read; numbers may be strings."""
    area = {"top": 0.1, "left": "0.5", "right": 0.9, "bottom": 1}
    more = {"filters": {"site": "WWW.Contoso.example"}, "invokedSkills": ["SimilarImages"], "offset": "35", "count": 10}
    request = read({"imageInfo": {**TOKEN["imageInfo"], "cropArea": area}, "knowledgeRequest": more})
    assert request.crop == (0.5, 0.1, 0.9, 1.0)
    assert (request.site, request.skill, request.page) == (
        "www.contoso.example",
        "SimilarImages",
        PageRange(offset=35, count=10),
    )


def test_the_empty_template_of_the_reference_has_no_effect(read: Read) -> None:
    """The template has empty strings, [""] and zeros."""
    template = {"filters": {"site": ""}, "invokedSkills": [""], "offset": 0, "count": 0}
    assert read({**URL, "knowledgeRequest": template}) == read(URL)


@pytest.mark.parametrize(
    "site",
    [
        "www.Contoso.example",
        "https://www.contoso.example/shop?x=1#y",
        "HTTP://WWW.CONTOSO.EXAMPLE:8080",
        "//www.contoso.example",
    ],
)
def test_a_site_is_a_host_or_a_url_of_it(read: Read, site: str) -> None:
    """Callers copy it from the address line of a browser."""
    assert read({**URL, "knowledgeRequest": {"filters": {"site": site}}}).site == "www.contoso.example"


@pytest.mark.parametrize("flag", [True, False, "true", "False", ""], ids=repr)
def test_entity_data_is_a_boolean_or_a_string(read: Read, flag: object) -> None:
    """Real clients send both."""
    assert read({**URL, "knowledgeRequest": {"invokedSkillsRequestData": {"enableEntityData": flag}}}) == read(URL)


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "no-such-charset"])
def test_a_part_names_the_encoding_of_its_text(charset: str) -> None:
    """The charset of the part is used; a part with an unknown one is read as UTF-8."""
    codec = "utf-8" if charset == "no-such-charset" else charset
    head = f"--frontier\r\nContent-Type: text/plain; charset={charset}\r\n"
    body = (
        f"{head}Content-Disposition: form-data; name=knowledgeRequest\r\n\r\n".encode()
        + json.dumps(URL).encode(codec)
        + b"\r\n--frontier--"
    )
    assert read_visual_search_request(FORM, body).source == ByUrl(url="https://contoso.example/red.jpg")


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
        (_with(offset="9" * 5000), None, "ParameterInvalidValue", "offset"),
        (_with(filters={"site": "two words"}), None, "ParameterInvalidValue", "site"),
        (_with(filters={"site": "https:///x"}), None, "ParameterInvalidValue", "site"),
        ('{"x": "' + "x" * MAX_JSON_BYTES + '"}', None, "ParameterInvalidValue", "knowledgeRequest"),
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
        "offset-endless",
        "site-is-text",
        "site-without-host",
        "json-endless",
        "entity-data",
    ],
)
def test_every_rule_of_visual_search(
    read: Read, knowledge: object, picture: bytes | None, sub_code: str, parameter: str
) -> None:
    """A broken rule is a 400 with its sub-code and the parameter at fault."""
    with pytest.raises(Refused) as caught:
        read(knowledge, picture)
    refusal = caught.value.refusal
    assert (refusal.status, refusal.code) == (400, "InvalidRequest")
    assert (refusal.sub_code, refusal.parameter) == (sub_code, parameter)


def test_a_wrong_part_is_named(read: Read) -> None:
    """A form without a known part is refused, and the error names its parts."""
    body = b"--frontier\r\nContent-Disposition: form-data; name=picture\r\n\r\nx\r\n--frontier--"
    with pytest.raises(Refused) as caught:
        read_visual_search_request(FORM, body)
    assert caught.value.refusal.more_details is not None
    assert caught.value.refusal.more_details.endswith("parts: picture")


def test_a_part_given_twice_is_refused() -> None:
    """With two pictures in one request, it would be unclear which one is meant."""
    part = b"--frontier\r\nContent-Disposition: form-data; name=image\r\n\r\nx\r\n"
    with pytest.raises(Refused, match="invalid value"):
        read_visual_search_request(FORM, part * 2 + b"--frontier--")
