"""What signs a URL is cut out of it, and nothing else is."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from pipeline.guards.signed_urls import signatures, without_signatures

SECRET = "s3cr3t+Sig%2Fnature%3D"
SIGNED = {
    "Amazon": f"?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20261130%2Feu&X-Amz-Date=20261130T000000Z"
    f"&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Security-Token={SECRET}&X-Amz-Signature={SECRET}",
    "Amazon, old": f"?AWSAccessKeyId=AKIA&Expires=1798675200&Signature={SECRET}",
    "CloudFront": f"?Policy=eyJT&Signature={SECRET}&Key-Pair-Id=K2",
    "Google": f"?X-Goog-Algorithm=GOOG4&X-Goog-Credential=a%40b&X-Goog-Date=2026&X-Goog-Signature={SECRET}",
    "Google, old": f"?GoogleAccessId=a%40b&Expires=1798675200&Signature={SECRET}",
    "Azure": f"?sv=2026-01-01&st=2026-11-30&se=2026-12-01&sr=b&sp=r&spr=https&sig={SECRET}",
    "Alibaba": f"?OSSAccessKeyId=LT&Expires=1798675200&Signature={SECRET}&security-token={SECRET}",
    "Akamai": f"?hdnts=exp=1798675200~hmac={SECRET}",
    "a token": f"?token={SECRET}",
    "in capitals": f"?SIG={SECRET}&SE=2026",
}


@pytest.mark.parametrize("query", SIGNED.values(), ids=SIGNED)
def test_signatures_are_cut_with_all_that_belongs_to_them(query: str) -> None:
    """So the URL that is left is the same every night."""
    assert without_signatures(f"https://a.example/x.jpg{query}") == "https://a.example/x.jpg"
    assert without_signatures(f"//a.example/x.jpg{query}#top") == "//a.example/x.jpg#top"


@pytest.mark.parametrize("query", SIGNED.values(), ids=SIGNED)
def test_other_parameters_stay(query: str) -> None:
    """Wherever they are."""
    further = query.replace("?", "&", 1)
    assert without_signatures(f"https://a.example/x?id=5{further}&w=100") == "https://a.example/x?id=5&w=100"
    assert without_signatures(f"https://a.example/x{query}&id=5") == "https://a.example/x?id=5"


@pytest.mark.parametrize("query", SIGNED.values(), ids=SIGNED)
def test_a_url_inside_of_another_one_or_of_a_sentence_is_no_exception(query: str) -> None:
    """As in the target of a request, and in messages."""
    target = f"/search?imgUrl={quote(f'https://a.example/x.jpg{query}', safe='')}&mkt=en-US"
    assert without_signatures(target) == "/search?imgUrl=https%3A%2F%2Fa.example%2Fx.jpg&mkt=en-US"
    sentence = f"line 3: 'https://a.example/x.jpg{query}' is no picture"
    assert without_signatures(sentence) == "line 3: 'https://a.example/x.jpg' is no picture"


@pytest.mark.parametrize("query", SIGNED.values(), ids=SIGNED)
def test_what_signs_is_named_in_the_forms_it_may_come_back_in(query: str) -> None:
    """As it is in the URL, and as it is meant; the times and names beside it are no secrets."""
    for text in (f"https://a.example/x.jpg{query}", f"/x?imgUrl={quote(f'https://a.example/x.jpg{query}', safe='')}"):
        values = signatures(text)
        assert any(value.endswith("s3cr3t+Sig/nature=") for value in values)
        assert not values & {"1798675200", "AWS4-HMAC-SHA256", "20261130T000000Z"}


@pytest.mark.parametrize(
    "text",
    [
        "https://a.example/x.jpg?w=100&h=200",
        "https://a.example/x.jpg?Expires=3600",
        "https://a.example/design.jpg?tokens=5&sign=up",
        "https://a.example/sig=abc/x.jpg",
        "folder/x?sig=abcdefghijkl.png",
        "me@home.jpg",
        "",
    ],
)
def test_what_is_not_signed_is_left_as_it_is(text: str) -> None:
    """Also where it looks a little like it."""
    assert without_signatures(text) == text


def test_a_login_is_cut_too() -> None:
    """Such URLs are refused, and the refusal is shown."""
    assert without_signatures("'https://me:pass@a.example/x' is refused") == "'https://a.example/x' is refused"
