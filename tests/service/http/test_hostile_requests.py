"""Whatever bytes a request has, the response is an error of the protocol: never a traceback, never a 500."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.service.http.app import AppConfig
from pipeline.service.http.common_parameters import COMMON, DETAILS_ONLY, SEARCH_ONLY
from pipeline.service.refusals import MAX_CHARS, invalid
from tests.service.serving import FixedEngine, Served, serving

if TYPE_CHECKING:
    Start = Callable[..., Served]

ENDPOINTS = ("GET /v7.0/images/search", "GET /v7.0/images/details", "GET /v7.0/images/trending")
HEADERS = (
    "Ocp-Apim-Subscription-Key", "X-MSEdge-ClientID", "X-Search-Location", "Accept", "Accept-Language", "Content-Type",
    "User-Agent", "Cookie", "X-Forwarded-Proto", "Origin", "Sec-Fetch-Site", "X-Any",
)  # fmt: skip
# What breaks numbers, dates, texts and databases.
NASTY = st.sampled_from(
    [
        *(b"9" * 5000, b"1e999", b"nan", b"-0", b"1_0", b"\xd9\xa3", b"2026-01-01..", b"..", b"True", b"own_1"),
        *(b"%00", b"%ff", b"%ed%a0%80", b"\xff", b"\xc3\xa9", b"\x7f", b"%", b"%zz", b"&&", b"="),
        *(b"''\"--", b"*", b"AND OR NEAR(", b"{}", b"[]"),
    ]
)
VALUES = st.one_of(NASTY, st.binary(max_size=30).filter(lambda value: not set(value) & set(b"\r\n\0 #\t\x0b\x0c")))
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    """Return a service that all tests here share; it needs no key."""
    with serving(FixedEngine(), AppConfig(faults=True)) as served:
        yield served


def check(reply: tuple[int, bytes], caplog: pytest.LogCaptureFixture) -> None:
    status, body = reply
    assert status in {200, 400, 401, 403, 404, 405, 417, 421}, body[:300]
    assert len(body) < 500_000
    assert "Traceback" not in caplog.text
    caplog.clear()


@FEW
@given(
    endpoint=st.sampled_from(ENDPOINTS),
    name=st.sampled_from([*COMMON, *SEARCH_ONLY, *DETAILS_ONLY, "unknown"]),
    value=VALUES,
)
def test_every_parameter(
    service: Served, caplog: pytest.LogCaptureFixture, endpoint: str, name: str, value: bytes
) -> None:
    """Any value of any parameter is used or refused."""
    target = endpoint.encode() + b"?q=mug&" + name.encode() + b"=" + value
    check(service.send_bytes(target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"), caplog)


@FEW
@given(endpoint=st.sampled_from(ENDPOINTS), name=st.sampled_from(HEADERS), value=VALUES)
def test_every_header(
    service: Served, caplog: pytest.LogCaptureFixture, endpoint: str, name: str, value: bytes
) -> None:
    """Any value of any header is used or refused, and the journal can be read."""
    head = endpoint.encode() + b"?q=mug HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    check(service.send_bytes(head + name.encode() + b": " + value + b"\r\n\r\n"), caplog)
    assert service.send("GET", "/_seen").status == 200


@FEW
@given(path=st.lists(VALUES, min_size=1, max_size=4))
def test_every_path(service: Served, caplog: pytest.LogCaptureFixture, path: list[bytes]) -> None:
    """Any path is an endpoint or unknown."""
    target = b"/" + b"/".join(path)
    check(service.send_bytes(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"), caplog)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=20)
    | st.just("9" * 5000),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
MEMBERS = st.sampled_from(
    ["offset", "count", "filters", "invokedSkills", "invokedSkillsRequestData", "imageInfo", "cropArea", "url", "site"]
)


@FEW
@given(member=MEMBERS, value=JSON, inside=st.sampled_from(["imageInfo", "knowledgeRequest", ""]))
def test_every_member_of_a_form(
    service: Served, caplog: pytest.LogCaptureFixture, member: str, value: object, inside: str
) -> None:
    """Any JSON in any member of a Visual Search request is used or refused."""
    knowledge = {inside: {member: value}} if inside else {member: value}
    text = json.dumps({"imageInfo": {"url": "https://img.shop.example/3.jpg"}, **knowledge})
    reply = service.visual_search(text)
    check((reply.status, reply.body), caplog)


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("value", [b"\xff", b"caf\xc3\xa9"], ids=["latin", "utf-8"])
def test_bytes_above_7f_are_a_400(service: Served, name: str, value: bytes) -> None:
    """The error names the header."""
    head = b"GET /v7.0/images/trending HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    status, body = service.send_bytes(head + name.encode() + b": " + value + b"\r\n\r\n")
    assert (status, json.loads(body)["errors"][0]["parameter"]) in {(400, name), (403, name)}


def test_an_endless_offset_is_a_400(service: Served) -> None:
    """5,000 digits are no number."""
    reply = service.visual_search({"knowledgeRequest": {"offset": "9" * 5000}}, b"x")
    assert (reply.status, reply.error["parameter"]) == (400, "offset")
    assert len(reply.body) < 1000


def test_errors_have_a_bounded_length() -> None:
    """Whatever a caller wrote, an error repeats little of it, and can be encoded."""
    refusal = invalid("x" * 10_000, "y" * 10_000, "\udcff" + "z" * 10_000).refusal
    body = json.dumps(refusal.body())
    (error,) = json.loads(body)["errors"]
    assert max(map(len, error.values())) <= MAX_CHARS + 10
    body.encode()
