"""Requests are as documented, checked with Python's own parsers."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pipeline.errors import RequestError
from pipeline.providers.bing.form_data import FormPart, decode, encode
from pipeline.providers.bing.provider import Bing
from pipeline.records import Crop, LocalFile, Prepared, Request, Row

CROP = Crop(left=0.1, top=0.2, right=0.5, bottom=0.6)


def parts_of(request: Request) -> dict[str, EmailMessage]:
    """Return the parts of a form, read by the standard library."""
    head = f"Content-Type: {dict(request.headers)['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + request.body, policy=email.policy.HTTP)
    assert isinstance(message, EmailMessage)
    parts = [part for part in message.iter_parts() if isinstance(part, EmailMessage)]
    return {str(part.get_param("name", header="content-disposition")): part for part in parts}


def knowledge_of(request: Request) -> Any:
    content = parts_of(request)["knowledgeRequest"].get_payload(decode=True)
    assert isinstance(content, bytes)
    return orjson.loads(content)


def test_upload(make: Callable[..., Bing], row: Callable[..., Row], prepared: Callable[..., Prepared]) -> None:
    """An uploaded picture is the part named image, byte for byte, with its media type and an ASCII file name."""
    data = bytes(range(256)) * 40
    (request,) = make(market="en-US").requests(row(), prepared(data))
    (image,) = parts_of(request).values()
    assert (request.method, request.target, request.form) == ("POST", "/images/visualsearch?mkt=en-US", "bytes")
    assert request.body.count(data) == 1
    assert (image.get_content_type(), image.get_filename()) == ("image/jpeg", "image")


def test_upload_with_crop_and_site(
    make: Callable[..., Bing], row: Callable[..., Row], prepared: Callable[..., Prepared]
) -> None:
    """The parameters of an uploaded picture are a part of their own, before the picture."""
    (request,) = make(entity_data=True).requests(row(crop=CROP, site="www.contoso.com"), prepared())
    assert list(parts_of(request)) == ["knowledgeRequest", "image"]
    assert knowledge_of(request) == {
        "imageInfo": {"cropArea": {"top": 0.2, "left": 0.1, "right": 0.5, "bottom": 0.6}},
        "knowledgeRequest": {
            "filters": {"site": "www.contoso.com"},
            "invokedSkillsRequestData": {"enableEntityData": "true"},
        },
    }
    assert request.crop == CROP


def test_url_and_token(make: Callable[..., Bing], row: Callable[..., Row]) -> None:
    """A picture is named by its URL or its token, never by both, and neither is changed."""
    url = "https://contoso.com/a b/\u00e9.jpg?x=1&y=2"
    (by_url,), (by_token,) = make(url_form="url").requests(row(url), None), make().requests(row(), None)
    assert knowledge_of(by_url) == {"imageInfo": {"url": url}}
    assert knowledge_of(by_token) == {"imageInfo": {"imageInsightsToken": "ccid_1*mid_2!/+\\._"}}
    assert (by_url.form, by_token.form) == ("url", "token")


def test_details_by_token_and_url(make: Callable[..., Bing], row: Callable[..., Row]) -> None:
    """Details are a GET with everything percent-encoded, the token's own special characters too."""
    bing = make(ask="details", url_form="url", modules=("Tags", "BRQ"), market="en-US", safe_search="Strict")
    (request,) = bing.requests(row(crop=CROP, query="sailing dinghy"), None)
    assert (request.method, request.body) == ("GET", b"")
    assert not {*"/\\ *!"} & set(request.target.partition("?")[2])
    assert parse_qsl(urlsplit(request.target).query) == [
        ("insightsToken", "ccid_1*mid_2!/+\\._"),
        ("q", "sailing dinghy"),
        ("modules", "Tags,BRQ"),
        *[("cal", "0.1"), ("cat", "0.2"), ("car", "0.5"), ("cab", "0.6"), ("ct", "0")],
        ("mkt", "en-US"),
        ("safeSearch", "Strict"),
    ]
    (cropped,) = bing.requests(row(crop=Crop(left=1e-05, top=0, right=1, bottom=1)), None)
    assert parse_qs(urlsplit(cropped.target).query)["cal"] == ["0.00001"]
    (by_url,) = bing.requests(row("https://a.example/x?a=1&b=2"), None)
    assert parse_qs(urlsplit(by_url.target).query)["imgUrl"] == ["https://a.example/x?a=1&b=2"]


def test_details_of_bytes(
    make: Callable[..., Bing], row: Callable[..., Row], prepared: Callable[..., Prepared]
) -> None:
    """A picture's bytes are posted as a form; the modules stay in the query."""
    (request,) = make(ask="details").requests(row(), prepared(b"picture"))
    assert (request.method, request.target) == ("POST", "/images/details?modules=All")
    assert parts_of(request)["image"].get_payload(decode=True) == b"picture"


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        (("Tags", "RecognizedEntities", "BRQ"), ["Tags,BRQ", "RecognizedEntities"]),
        (("RecognizedEntities",), ["RecognizedEntities"]),
        (("All", "All"), ["All"]),
        ((), ["All"]),
    ],
)
def test_recognized_entities_stand_alone(
    modules: tuple[str, ...], expected: list[str], make: Callable[..., Bing], row: Callable[..., Row]
) -> None:
    """RecognizedEntities has a call of its own: with other modules the service leaves it out (Image Insights guide)."""
    requests = make(ask="details", modules=modules).requests(row(), None)
    sent = [parse_qs(request.target.partition("?")[2])["modules"] for request in requests]
    assert sent == [[call_modules] for call_modules in expected]


def test_headers(make: Callable[..., Bing], row: Callable[..., Row]) -> None:
    """Every documented header that can change a response is part of the request; the key never is."""
    bing = make(cc="CH", accept_language=("de-CH", "fr;q=0.8"), no_cache=True, client_ip="192.0.2.7")
    (request,) = bing.requests(row(), None)
    headers = dict(request.headers)
    del headers["Content-Type"]
    assert headers == {
        "Accept": "application/json",
        "Accept-Language": "de-CH, fr;q=0.8",
        "Pragma": "no-cache",
        "User-Agent": "image-insights-pipeline",
        "X-MSEdge-ClientIP": "192.0.2.7",
    }
    keyed = dict(bing.authorise(request, SecretStr("k1")).headers)
    assert keyed == dict(request.headers) | {"Ocp-Apim-Subscription-Key": "k1"}
    assert request.target == "/images/visualsearch?cc=CH"


def test_row_overrides_market_and_site(make: Callable[..., Bing], row: Callable[..., Row]) -> None:
    """A row's own market and site replace the config's."""
    (request,) = make(market="en-US", site="a.example").requests(row(market="FR-fr", site="b.example"), None)
    assert request.target.endswith("?mkt=fr-FR")
    assert knowledge_of(request)["knowledgeRequest"]["filters"] == {"site": "b.example"}


@pytest.mark.parametrize(
    ("keys", "fields", "code"),
    [
        ({}, {"market": "german"}, "unknown-market"),
        ({"cc": "CH", "accept_language": ("de",)}, {"market": "de-CH"}, "market-and-country"),
        ({}, {"crop": Crop(left=0.5, top=0, right=0.5, bottom=1)}, "bad-crop"),
        ({}, {"crop": Crop(left=0, top=0.5, right=1, bottom=0.5)}, "bad-crop"),
        ({}, {"crop": Crop(left=0, top=0.9, right=1, bottom=0.1)}, "bad-crop"),
        ({}, {"crop": Crop(left=-0.1, top=0, right=1, bottom=1)}, "bad-crop"),
        ({}, {"crop": Crop(left=0, top=0, right=1, bottom=float("nan"))}, "bad-crop"),
        ({}, {"site": "no domain"}, "bad-site"),
        ({}, {"url": "ftp://a.example/x"}, "bad-url"),
        ({}, {"url": "https://[broken/x"}, "bad-url"),
        ({}, {"url": "https://a.example/" + "x" * 2048}, "url-too-long"),
        ({"ask": "details"}, {"url": "https://a.example/" + "x" * 1500}, "query-too-long"),
        ({"ask": "details"}, {"query": "q" * 1500}, "query-too-long"),
        ({}, {"token": ""}, "bad-token"),
        ({}, {"token": "a b"}, "bad-token"),
    ],
)
def test_refuses_rows(
    keys: dict[str, Any], fields: dict[str, Any], code: str, make: Callable[..., Bing], row: Callable[..., Row]
) -> None:
    """A row that breaks a documented rule fails before anything is sent."""
    with pytest.raises(RequestError) as caught:
        make(**keys).requests(row(**fields), None)
    assert caught.value.code == code


def test_url_length_counts_the_endpoint(make: Callable[..., Bing], row: Callable[..., Row]) -> None:
    """The limit of 2,048 characters includes the endpoint."""
    endpoint = "https://a.example/" + "p" * 1000
    fits = make(ask="details", endpoint=endpoint)
    fits.requests(row(token="t" * 900), None)
    with pytest.raises(RequestError, match="2048"):
        fits.requests(row(token="t" * 1300), None)


def test_unprepared_file(make: Callable[..., Bing], row: Callable[..., Row], tmp_path: Any) -> None:
    """A file that was not prepared can't be sent."""
    file = Row(id="1", image=LocalFile(path=str(tmp_path / "a.jpg"), name="a.jpg"), ordinal=0, line=1)
    with pytest.raises(RequestError, match=r"a\.jpg"):
        make().requests(file, None)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=3), st.integers(0, 3))
def test_forms_come_back(datas: list[bytes], echoes: int) -> None:
    """A form with any content, even with earlier boundaries, reads back the same and is the same each time."""
    for _ in range(echoes):
        boundary = encode([FormPart(name="a", data=datas[0])])[0].partition("boundary=")[2]
        datas = [datas[0] + b"\r\n--" + boundary.encode() + b"--\r\n", *datas[1:]]
    parts = [FormPart(name=f"p{index}", data=data, media_type="image/png") for index, data in enumerate(datas)]
    content_type, body = encode(parts)
    assert encode(parts) == (content_type, body)
    assert list(decode(content_type, body).values()) == parts
    assert body.count(content_type.partition("boundary=")[2].encode()) == len(parts) + 1
